//! The parts of the report, each in a file of its own with what it measures and its goals.

mod churn;
mod completions;
mod growth;
mod mailboxes;
mod memory;
mod nats;
mod nodes;
mod recovery;
mod redis;
mod registry;
mod servers;
mod signing;
mod soak;
mod sockudo;
mod threads;
mod two_nodes;
mod websocket;

use std::io;

use crate::report::Report;

/// A part of the report.
pub(crate) struct Part {
    /// The name on the command line.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) run: Run,
}

type Run = fn(&mut Report) -> io::Result<()>;

/// The part that takes too long for the whole report.
pub(crate) const ONLY_BY_NAME: &str = "soak";

/// All parts, in the order of the page.
pub(crate) const PARTS: &[Part] = &[
    part("registry", "Registry", registry::run),
    part("mailboxes", "Mailboxes", mailboxes::run),
    part("churn", "Joins and leaves beside a publisher", churn::run),
    part("threads", "Publishing threads", threads::run),
    part("memory", "Memory of idle connections", memory::run),
    part("ws", "WebSocket fan-out", websocket::run),
    part("completions", "Completions", completions::run),
    part(
        "backlog",
        "A backlog of completions",
        completions::backlog::run,
    ),
    part("soak", "50,000 clients for ten minutes", soak::run),
    part("redis", "From node to node over Redis", redis::run),
    part("signing", "Signed frames over Redis", signing::run),
    part("nats", "From node to node over NATS", nats::run),
    part(
        "ws-nodes",
        "From WebSocket to WebSocket over Redis",
        nodes::run,
    ),
    part("sockudo", "The workload of Sockudo", sockudo::run),
    part("growth", "Growth", growth::run),
    part("recovery", "Recovery from an outage", recovery::run),
];

const fn part(name: &'static str, title: &'static str, run: Run) -> Part {
    Part { name, title, run }
}
