//! The table of what was counted: a line for each kind of broker and fault.

use std::fmt;

use midplane_testkit::server::ServerKind;

use super::fault::Outage;
use super::judgement::Judgement;

/// What was counted of one fault on one kind of broker.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) kind: ServerKind,
    pub(super) fault: Outage,
    pub(super) judgement: Judgement,
}

/// All that was counted.
#[derive(Debug, Default)]
pub struct Table {
    pub(super) lines: Vec<Line>,
}

impl Table {
    /// Adds what was counted of one fault: to the line of this fault, or as a new one.
    pub(super) fn add(&mut self, kind: ServerKind, fault: Outage, judgement: Judgement) {
        let same = |line: &&mut Line| line.kind == kind && line.fault == fault;
        match self.lines.iter_mut().find(same) {
            Some(line) => line.judgement += judgement,
            None => self.lines.push(Line {
                kind,
                fault,
                judgement,
            }),
        }
    }

    /// Adds all lines of another table behind these.
    pub fn append(&mut self, mut other: Self) {
        self.lines.append(&mut other.lines);
    }

    /// Whether every promise held, of at least one fault.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.lines.is_empty() && self.lines.iter().all(|line| line.faults().is_empty())
    }
}

impl Line {
    fn faults(&self) -> Vec<String> {
        self.judgement.faults(self.fault.promise())
    }
}

/// Per told client: how many `missed` it got for one fault, in the mean and at most. Excused: how many said that anything
/// may be missing of an outage beyond the window, to a client that had missed nothing.
const HEAD: [&str; 14] = [
    "bus",
    "fault",
    "times",
    "accepted",
    "owed",
    "lost",
    "%",
    "losers",
    "told",
    "missed per told client",
    "excused",
    "whole",
    "ready",
    "verdict",
];

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(self.lines.iter().map(Line::cells));
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<_> = (0..HEAD.len()).map(width).collect();
        for row in &rows {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "{cell:width$}")?,
                    1 => write!(f, "  {cell:width$}")?,
                    _ if column == HEAD.len() - 1 => write!(f, "  {cell}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Line {
    fn cells(&self) -> [String; HEAD.len()] {
        let judgement = &self.judgement;
        let percent = judgement.lost as f64 * 100.0 / judgement.owed.max(1) as f64;
        let faults = self.faults();
        [
            format!("{:?}", self.kind).to_lowercase(),
            self.fault.to_string(),
            judgement.times.to_string(),
            judgement.accepted.to_string(),
            judgement.owed.to_string(),
            judgement.lost.to_string(),
            format!("{percent:.2}"),
            judgement.losers.to_string(),
            judgement.told.to_string(),
            match judgement.told {
                0 => "-".to_owned(),
                told => format!(
                    "{:.1}, at most {}",
                    judgement.reports as f64 / told as f64,
                    judgement.most_reports
                ),
            },
            judgement.excused.to_string(),
            format!("{:.1?}", judgement.whole),
            judgement
                .ready
                .map_or_else(|| "never".to_owned(), |ready| format!("{ready:.1?}")),
            match faults.is_empty() {
                true => "holds".to_owned(),
                false => faults.join(", "),
            },
        ]
    }
}
