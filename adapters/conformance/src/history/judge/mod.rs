//! Whether what happened may have happened.

mod accounted;
mod delivered;
mod gaps;
mod health;
mod index;
mod life;
mod members;
mod receipts;

use std::fmt;
use std::time::Duration;

use super::{History, Mark};
use index::Index;

/// What a run is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The time between two heartbeats of a node.
    pub heartbeat: Duration,
    /// After which time an event is given up.
    pub time_to_live: Duration,
    /// How many lanes the nodes divide the bus into.
    pub lanes: u32,
    /// How long a message may be on its way at the most, when it arrives at all.
    pub delay: Duration,
    /// How soon after it is cut a node must say that it is not live.
    pub notice: Duration,
    /// How many bytes of events may wait in a node to be sent.
    pub queue: u64,
    /// How soon after everything is healed every node must be live.
    pub heal: Duration,
}

impl Terms {
    /// How far back before a fault what is lost to it may have been sent: four heartbeats tell of it, one
    /// may be late, and one under way.
    fn reach(&self) -> Duration {
        self.heartbeat * 6 + self.delay
    }

    /// For how long a node may have heard nothing of another when it says so.
    fn silence(&self) -> Duration {
        self.heartbeat * 13 + self.delay
    }
}

/// A check of the exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// C1: a connection got each event at most once.
    Unique,
    /// C2: in the order published, and on one lane in the order of their numbers.
    Ordered,
    /// C3: who got it was in the audience at some instant of its flight.
    Member,
    /// C4: who was in the audience throughout got it, or was told of a gap, or the publisher was.
    Accounted,
    /// C5: nothing came after an awaited detach.
    Detached,
    /// C6: what came was published, byte by byte.
    Intact,
    /// C7: every node is live soon after everything is healed, and was not while it was cut.
    Heals,
    /// C8: nothing grew beyond its bound.
    Bounded,
    /// C9: receipts count exactly the sink calls of the publish, by what each said.
    Truthful,
    /// C10: gaps claim no more than could have been lost.
    NoWolf,
}

impl Check {
    /// Every check, in order.
    pub const ALL: [Self; 10] = [
        Self::Unique,
        Self::Ordered,
        Self::Member,
        Self::Accounted,
        Self::Detached,
        Self::Intact,
        Self::Heals,
        Self::Bounded,
        Self::Truthful,
        Self::NoWolf,
    ];
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unique => "C1 unique",
            Self::Ordered => "C2 ordered",
            Self::Member => "C3 member",
            Self::Accounted => "C4 accounted",
            Self::Detached => "C5 detached",
            Self::Intact => "C6 intact",
            Self::Heals => "C7 heals",
            Self::Bounded => "C8 bounded",
            Self::Truthful => "C9 truthful",
            Self::NoWolf => "C10 no wolf",
        })
    }
}

/// A promise that a run broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which check found it.
    pub check: Check,
    /// The event, if it is one event's.
    pub mark: Option<Mark>,
    /// What happened, naming the event, the connection and the node.
    pub explanation: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.explanation)
    }
}

/// What is wrong in the history; nothing, if it kept every promise.
#[must_use]
pub fn judge(history: &History, terms: &Terms) -> Vec<Violation> {
    let index = Index::new(history);
    let mut bench = Bench {
        index: &index,
        terms,
        found: Vec::new(),
    };
    delivered::judge(&mut bench);
    members::judge(&mut bench);
    accounted::judge(&mut bench);
    receipts::judge(&mut bench);
    gaps::judge(&mut bench);
    health::judge(&mut bench);
    bench.found.sort_by_key(|violation| violation.check);
    bench.found
}

impl History {
    /// Judges the history.
    ///
    /// # Panics
    /// When a promise is broken. The message says which, and all that is known of the first event it was
    /// broken for.
    pub fn hold(&self, terms: &Terms) {
        self.hold_but(terms, &[]);
    }

    /// The same, but what these checks find is let pass.
    ///
    /// # Panics
    /// As [`hold`](Self::hold).
    pub fn hold_but(&self, terms: &Terms, spared: &[Check]) {
        const SHOWN: usize = 10;
        let mut found = judge(self, terms);
        found.retain(|violation| !spared.contains(&violation.check));
        let Some(first) = found.first() else { return };
        let mut message = format!("{} promises are broken:\n", found.len());
        for violation in found.iter().take(SHOWN) {
            message.push_str(&format!("  {violation}\n"));
        }
        let mark = found.iter().find_map(|violation| violation.mark);
        message.push_str(&self.about(first.mark.or(mark).unwrap_or(Mark {
            publisher: u32::MAX,
            number: u32::MAX,
        })));
        panic!("{message}");
    }
}

/// What every check works with.
struct Bench<'a> {
    index: &'a Index<'a>,
    terms: &'a Terms,
    found: Vec<Violation>,
}

impl Bench<'_> {
    fn broken(&mut self, check: Check, mark: Option<Mark>, explanation: String) {
        self.found.push(Violation {
            check,
            mark,
            explanation,
        });
    }
}
