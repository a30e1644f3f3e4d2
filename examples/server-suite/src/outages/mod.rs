//! What clients get of three servers while their broker, their links or a server fails, on real brokers.
//!
//! Publishers go on all the time, by WebSocket and by HTTP, on every server; clients listen on every server. Each client records
//! what it gets, and these histories alone are judged, beside what the publishers were answered:
//!
//! - Within the window, every event that a server accepted reaches every client once, in order, and no client is told that it
//!   missed anything.
//! - Beyond it, a client that missed something is told, and no other is. What a client is told covers what was published
//!   before.
//!
//! # Map
//!
//! [`Settings`] says what is run. A `course` is a `cluster` with the faults that it goes through; `fault` injects them, `publisher` and
//! `history` record, `judgement` counts, `table` shows the counts, and `evidence` is kept to find out why a promise was broken.

mod cluster;
mod course;
mod evidence;
mod fault;
mod history;
mod judgement;
mod publisher;
mod table;

use std::path::PathBuf;

use futures::StreamExt;
use futures::stream;
use midplane_testkit::server::ServerKind;

use crate::cluster::Programs;
use course::Course;
pub use table::Table;

/// What is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether the faults alone that are soon seen.
    pub short: bool,
    /// Words, of which one stands in the name of each fault that is run; all without any.
    pub faults: Vec<String>,
    /// How many events each server is given in a second.
    pub rate: u32,
    /// Where to what servers logged and clients missed is written.
    pub logs: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            short: false,
            faults: Vec::new(),
            rate: 20,
            logs: None,
        }
    }
}

/// Runs every course of these settings on one kind of broker, and says how each fault went.
///
/// # Panics
/// When a server does not start, or does not answer.
pub async fn run(
    programs: Programs,
    kind: ServerKind,
    settings: &Settings,
    say: &(dyn Fn(&str) + Sync),
) -> Table {
    let courses = match settings.short {
        true => course::short(),
        false => course::all(),
    };
    let chosen = courses.into_iter().filter_map(|mut course| {
        course.faults.retain(|fault| {
            let name = fault.to_string();
            let named = settings.faults.iter().any(|word| name.contains(word));
            fault.exists_on(kind) && (named || settings.faults.is_empty())
        });
        (!course.faults.is_empty()).then_some(course)
    });
    let runs = chosen.map(|course| Course::run(course, programs, kind, settings, say));
    // Short courses run side by side.
    let at_once = if settings.short { usize::MAX } else { 1 };
    let mut tables = stream::iter(runs).buffered(at_once);
    let mut table = Table::default();
    while let Some(other) = tables.next().await {
        table.append(other);
    }
    table
}

/// Runs the short courses on one kind of broker.
///
/// # Panics
/// When a promise is broken; the message is the table.
pub fn check(programs: Programs, kind: ServerKind) {
    let settings = Settings {
        short: true,
        ..Settings::default()
    };
    // A client that waits for another, or for the broker to start, would be held up.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let table = runtime.block_on(run(programs, kind, &settings, &|_| {}));
    assert!(table.holds(), "\n{table}");
}
