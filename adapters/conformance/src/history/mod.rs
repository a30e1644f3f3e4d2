//! The oracle: what happened in a run, and whether that may have happened.
//!
//! Whoever takes part in a run writes [`Fact`]s through a [`Recorder`]: publishers before and after each
//! publish, sinks what they were given, nodes what they told their host, a [tap](Tapped) on the bus which
//! event went under which number. [`judge`] then says which promises were broken, whatever produced the
//! run: a simulation, real servers, other people's processes.
//!
//! [`Witness`] does all of this for one node of one's own. [`Stalls`] tells what is to be blamed on the machine.
//!
//! Without a tap it is not known which numbers the events had; then any gap on an event's lane that was
//! told after it was published accounts for it, and the judge is that much milder.

mod fact;
mod judge;
mod mark;
mod recorder;
mod stalls;
mod tap;
mod witness;

use std::fmt;
use std::time::Duration;

pub use fact::{Fact, Outcome, Reach, Relayed, Seat, Tally};
pub use judge::{Check, Terms, Violation, judge};
pub use mark::{Mark, hash};
pub use recorder::Recorder;
pub use stalls::Stalls;
pub use tap::Tapped;
pub use witness::{Person, Publisher, Witness};

pub(crate) use fact::name;

/// What happened, in the order in which it was written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The facts. Their moments never fall.
    pub records: Vec<Record>,
    /// When nobody looked any more.
    pub end: Duration,
}

/// A fact, and when it was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When, on the clock of the history.
    pub at: Duration,
    /// What.
    pub fact: Fact,
}

impl History {
    /// What was written of one event, and of everything that may explain its fate, for people.
    #[must_use]
    pub fn about(&self, mark: Mark) -> String {
        let of = |record: &&Record| match &record.fact {
            Fact::Publishing { mark: found, .. } | Fact::Published { mark: found, .. } => {
                *found == mark
            }
            Fact::Delivered { mark: found, .. } | Fact::Sent { mark: found, .. } => {
                *found == Some(mark)
            }
            Fact::Gap { .. }
            | Fact::Deaf { .. }
            | Fact::State { .. }
            | Fact::Silent { .. }
            | Fact::Joined { .. }
            | Fact::Started(_)
            | Fact::Crashed(_)
            | Fact::Closing(_)
            | Fact::Closed { .. }
            | Fact::Broken
            | Fact::Healed
            | Fact::Stalled { .. }
            | Fact::Cut(_)
            | Fact::Mended(_) => true,
            _ => false,
        };
        let lines =
            self.records.iter().filter(of).map(|record| {
                format!("{:>10.3} {}\n", record.at.as_secs_f64(), line(&record.fact))
            });
        lines.collect()
    }
}

/// A fact in one line.
fn line(fact: &Fact) -> impl fmt::Display {
    match fact {
        Fact::Started(node) => format!("{} started", name(*node)),
        Fact::Crashed(node) => format!("{} crashed", name(*node)),
        Fact::Closing(node) => format!("{} is closing", name(*node)),
        Fact::Cut(node) => format!("{} is cut", name(*node)),
        Fact::Mended(node) => format!("{} is mended", name(*node)),
        Fact::State { node, live } => format!("{} live: {live}", name(*node)),
        Fact::Gap {
            node,
            origin,
            lane,
            first,
            last,
        } => format!(
            "{} misses {first}..={last} of {} on lane {lane}",
            name(*node),
            name(*origin)
        ),
        Fact::Deaf {
            node,
            origin,
            since,
            until,
        } => format!(
            "{} was deaf to {} from {:.3} to {:.3}",
            name(*node),
            origin.map_or_else(|| "all".to_owned(), name),
            since.as_secs_f64(),
            until.as_secs_f64()
        ),
        other => format!("{other:?}"),
    }
}
