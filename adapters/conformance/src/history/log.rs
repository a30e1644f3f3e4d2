//! The facts of a run, and their text for a failure's message.

use std::fmt;
use std::time::Duration;

use super::fact::{Fact, name};
use super::tag::EventTag;

/// The facts of a run, in the order of recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The facts; their moments never fall.
    pub records: Vec<Record>,
    /// When recording ended.
    pub end: Duration,
}

/// A fact, and the moment it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The moment, on the clock of the history.
    pub at: Duration,
    /// The fact.
    pub fact: Fact,
}

impl History {
    /// The facts of one event, and of everything that may explain its fate, one a line.
    #[must_use]
    pub fn about(&self, tag: EventTag) -> String {
        let of = |record: &&Record| match &record.fact {
            Fact::Publishing { tag: found, .. } | Fact::Published { tag: found, .. } => {
                *found == tag
            }
            Fact::Delivered { tag: found, .. } | Fact::Sent { tag: found, .. } => {
                *found == Some(tag)
            }
            Fact::Gap { .. }
            | Fact::Deaf { .. }
            | Fact::Missed { .. }
            | Fact::State { .. }
            | Fact::Silent { .. }
            | Fact::Joined { .. }
            | Fact::Started(_)
            | Fact::Crashed(_)
            | Fact::Closing(_)
            | Fact::Closed { .. }
            | Fact::FaultBegan
            | Fact::FaultEnded
            | Fact::Stalled { .. }
            | Fact::ClockFault { .. }
            | Fact::MustNotBeLive(_)
            | Fact::MayBeLive(_) => true,
            _ => false,
        };
        let lines =
            self.records.iter().filter(of).map(|record| {
                format!("{:>10.3} {}\n", record.at.as_secs_f64(), line(&record.fact))
            });
        lines.collect()
    }
}

/// One fact as one line.
fn line(fact: &Fact) -> impl fmt::Display {
    match fact {
        Fact::Started(node) => format!("{} started", name(*node)),
        Fact::Crashed(node) => format!("{} crashed", name(*node)),
        Fact::Closing(node) => format!("{} is closing", name(*node)),
        Fact::MustNotBeLive(node) => format!("{} must not be live", name(*node)),
        Fact::MayBeLive(node) => format!("{} may be live", name(*node)),
        Fact::State { node, live } => format!("{} live: {live}", name(*node)),
        Fact::Gap {
            node,
            origin,
            lane,
            first,
            last,
            ..
        } => format!(
            "{} misses {first}..={last} of {} on lane {lane}",
            name(*node),
            name(*origin)
        ),
        Fact::Deaf {
            node,
            origin,
            lane,
            since,
            until,
        } => format!(
            "{} was deaf to {} on lane {lane:?} from {:.3} to {:.3}",
            name(*node),
            origin.map_or_else(|| "all".to_owned(), name),
            since.as_secs_f64(),
            until.as_secs_f64()
        ),
        other => format!("{other:?}"),
    }
}
