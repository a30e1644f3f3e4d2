//! The report: a page, pictures and a list of goals. Each part replaces what it wrote before.

mod goal;
mod picture;

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use goal::Goal;
pub(crate) use picture::{Lines, Scale};

/// The report of the parts of this run and of earlier runs.
pub(crate) struct Report {
    folder: PathBuf,
    goals: Vec<Goal>,
    sections: Vec<(String, String)>,
    part: &'static str,
    text: String,
    found: Vec<Goal>,
    start: Instant,
}

/// A column of a table: its title, and its cell in the row of a name.
pub(crate) type Column<'a> = (&'a str, &'a dyn Fn(&str) -> String);

/// The lines before and after a part's section of the page.
fn marks(part: &str) -> (String, String) {
    (
        format!("<!-- part {part} -->\n"),
        format!("<!-- end {part} -->\n"),
    )
}

impl Report {
    /// Reads the page and the goals of the folder, where there are any.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let goals = match fs::read(folder.join("report.json")) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let page = fs::read_to_string(folder.join("REPORT.md")).unwrap_or_default();
        let mut sections = Vec::new();
        let mut rest = &*page;
        while let Some((_, after)) = rest.split_once("<!-- part ") {
            let Some((part, after)) = after.split_once(" -->\n") else {
                break;
            };
            let Some((text, after)) = after.split_once(&marks(part).1) else {
                break;
            };
            sections.push((part.to_owned(), text.to_owned()));
            rest = after;
        }
        Ok(Self {
            folder: folder.to_owned(),
            goals,
            sections,
            part: "",
            text: String::new(),
            found: Vec::new(),
            start: Instant::now(),
        })
    }

    /// Begins a part: what is written from now on is of this part.
    pub(crate) fn begin(&mut self, part: &'static str, title: &str) {
        self.part = part;
        self.text = format!("## {title}\n\n");
        self.found.clear();
        self.start = Instant::now();
        self.progress(title);
    }

    /// Prints the step that begins now.
    #[expect(clippy::print_stderr, reason = "the progress of a long command")]
    pub(crate) fn progress(&self, step: impl Display) {
        let seconds = self.start.elapsed().as_secs();
        eprintln!("{:>12} {seconds:>4} s  {step}", self.part);
    }

    /// Puts text into the page, and an empty line behind it.
    pub(crate) fn say(&mut self, text: impl Display) {
        self.text.push_str(text.to_string().trim_end());
        self.text.push_str("\n\n");
    }

    /// Puts a table into the page. The first column is text, the others are numbers.
    pub(crate) fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        let mut table = format!("| {} |\n|---", header.join(" | "));
        table.push_str(&"|---:".repeat(header.len() - 1));
        table.push_str("|\n");
        for row in rows {
            table.push_str(&format!("| {} |\n", row.join(" | ")));
        }
        self.say(table);
    }

    /// Puts a table into the page with a row for each name, and these columns of text for each name.
    pub(crate) fn columns(
        &mut self,
        names: impl IntoIterator<Item = &'static str>,
        columns: &[Column<'_>],
    ) {
        let mut header = vec![""];
        header.extend(columns.iter().map(|(title, _)| *title));
        let rows: Vec<Vec<String>> = names
            .into_iter()
            .map(|name| {
                let cells = columns.iter().map(|(_, cell)| cell(name));
                std::iter::once(name.to_owned()).chain(cells).collect()
            })
            .collect();
        self.table(&header, &rows);
    }

    /// Adds a goal.
    pub(crate) fn goal(&mut self, mut goal: Goal) {
        goal.figure = format!("{}: {}", self.part, goal.figure);
        self.found.push(goal);
    }

    /// Draws a picture and puts it into the page.
    pub(crate) fn picture(&mut self, name: &str, picture: &Lines) -> io::Result<()> {
        let folder = self.folder.join("pictures");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{name}.svg")), picture.svg()?)?;
        self.say(format!("![{}](pictures/{name}.svg)", picture.title));
        Ok(())
    }

    /// A figure that an earlier part or an earlier run found.
    pub(crate) fn figure(&self, figure: &str) -> Option<&Goal> {
        self.goals.iter().find(|goal| goal.figure == figure)
    }

    /// Ends the part and writes the report.
    pub(crate) fn end(&mut self, order: &[&str]) -> io::Result<Duration> {
        let mut text = std::mem::take(&mut self.text);
        if !self.found.is_empty() {
            text.push_str("| goal | value | floor | best peer | ratio | goal | met |\n");
            text.push_str("|---|---:|---:|---:|---:|---|---|\n");
        }
        for goal in &self.found {
            let number = |number: Option<f64>| number.map_or_else(String::new, short);
            text.push_str(&format!(
                "| {} | {} {} | {} | {} | {} | {} | {} |\n",
                goal.figure,
                short(goal.value),
                goal.unit,
                number(goal.floor),
                number(goal.peer),
                goal.ratio
                    .map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                goal.goal.as_deref().unwrap_or_default(),
                match goal.met {
                    Some(true) => "yes",
                    Some(false) => "**no**",
                    None => "",
                },
            ));
        }
        let took = self.start.elapsed();
        text.push_str(&format!("\n{} s.\n", took.as_secs()));
        let part = self.part;
        self.sections.retain(|(name, _)| name != part);
        self.sections.push((part.to_owned(), text));
        let place = |part: &str| {
            order
                .iter()
                .position(|name| *name == part)
                .unwrap_or(usize::MAX)
        };
        self.sections.sort_by_key(|(name, _)| place(name));
        let of = |goal: &Goal| goal.figure.split(':').next().map_or(usize::MAX, place);
        self.goals
            .retain(|goal| goal.figure.split(':').next() != Some(part));
        self.goals.append(&mut self.found);
        self.goals.sort_by_key(of);
        self.write()?;
        Ok(took)
    }

    fn write(&self) -> io::Result<()> {
        let held: Vec<bool> = self.goals.iter().filter_map(|goal| goal.met).collect();
        let met = held.iter().filter(|met| **met).count();
        let mut page = format!(
            "# Report\n\nWritten by `cargo run --release --locked -p benches -- report`; README.md says how it \
             measures. Every ratio is of one run, in which the contenders took turns.\n\n{}\n\n{met} of {} goals are met.\n\n",
            machine(),
            held.len()
        );
        for (part, text) in &self.sections {
            let (before, after) = marks(part);
            page.push_str(&format!("{before}{text}{after}\n"));
        }
        fs::write(self.folder.join("REPORT.md"), page)?;
        let mut json = serde_json::to_string_pretty(&self.goals)?;
        json.push('\n');
        fs::write(self.folder.join("report.json"), json)
    }
}

/// The processors and the kernel of this machine.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, key: &str| -> String {
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let model = after(&read("/proc/cpuinfo"), "model name");
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{processors} processors ({model}), Linux {}.",
        kernel.trim()
    )
}

/// A number with about three significant digits.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        1e6.. => format!("{:.2}M", number / 1e6),
        1e4.. => format!("{:.0}k", number / 1e3),
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}
