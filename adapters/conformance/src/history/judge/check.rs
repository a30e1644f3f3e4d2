//! The checks by name, and what they find.

use std::fmt;

use crate::history::tag::EventTag;

/// One check of the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// C1: a connection got each event at most once.
    Unique,
    /// C2: events arrived in the order of their publisher, and on one lane in the order of their numbers.
    Ordered,
    /// C3: each recipient was in the audience at some instant of the event's flight.
    Member,
    /// C4: each connection that was in the audience throughout got the event, or its loss was reported, or the
    /// receipt said that the event is not relayed.
    Accounted,
    /// C5: nothing arrived after an awaited detach.
    Detached,
    /// C6: everything that arrived was published, byte by byte.
    Intact,
    /// C7: every node is live soon after the last fault, and was not while it could not hear the bus.
    Heals,
    /// C8: nothing grew beyond its bound.
    Bounded,
    /// C9: receipts count exactly the sink calls of the publish, by what each sink said.
    Truthful,
    /// C10: gaps claim no more than could have been lost.
    NoFalseGap,
    /// C11: where every origin lives and nothing is away for longer than what is kept, nothing is lost and nobody is
    /// told of a loss.
    Whole,
    /// C12: each connection that missed an event was told so itself, and no other was.
    Told,
}

impl Check {
    /// Every check, in order.
    pub const ALL: [Self; 12] = [
        Self::Unique,
        Self::Ordered,
        Self::Member,
        Self::Accounted,
        Self::Detached,
        Self::Intact,
        Self::Heals,
        Self::Bounded,
        Self::Truthful,
        Self::NoFalseGap,
        Self::Whole,
        Self::Told,
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
            Self::NoFalseGap => "C10 no false gap",
            Self::Whole => "C11 whole",
            Self::Told => "C12 told",
        })
    }
}

/// A promise that a run broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The check that found it.
    pub check: Check,
    /// The event, if the violation is about one.
    pub tag: Option<EventTag>,
    /// What happened, naming the event, the connection and the node.
    pub explanation: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.explanation)
    }
}
