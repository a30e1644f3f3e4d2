//! The losses that nobody has to account for, by reason, and how many there were.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// Why nobody has to account for a lost event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exemption {
    /// The close of its origin reported that many events as not sent.
    Unsent,
    /// The node that lost it ended before it had the time to learn of the loss.
    ReceiverEnded,
    /// The origin died before the node ever heard it, and no node that lives to the end had heard that origin, or the
    /// event; or those had forgotten the origin before the node was live.
    OriginUnheard,
    /// The origin died with the event in its queue, and the node had reported before that it does not hear the origin.
    OriginSilent,
    /// The origin died so late that the history ends before that had to be known.
    HistoryEnded,
    /// A report of a node claims too much, and a forged frame may have led to it.
    ForgedReport,
    /// An unknown sender claimed numbers in its origin's name, and the heartbeats of the origin had not refuted them.
    Impersonated,
    /// The clock of the node came to stand, or that of the origin leapt, before the node had heard the origin, and the event was
    /// published before that was over.
    ClockFault,
    /// The clock of the origin stood when the event was published, and the attachment joined, or was told of another loss,
    /// since it stood: by the event's stamp that was later.
    ClockStood,
}

impl fmt::Display for Exemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsent => "reported unsent",
            Self::ReceiverEnded => "receiver ended",
            Self::OriginUnheard => "origin died unheard",
            Self::OriginSilent => "origin died in silence",
            Self::HistoryEnded => "origin died at the end",
            Self::ForgedReport => "report after a forged frame",
            Self::Impersonated => "impersonated",
            Self::ClockFault => "clock fault before the origin was heard",
            Self::ClockStood => "clock of the origin stood",
        })
    }
}

/// How many events were not accounted for at how many attachments, and for which reasons.
///
/// Each is one event that one attachment did not get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exemptions {
    /// The events that attachments of other nodes were owed.
    pub owed: u64,
    /// How many of these were told as lost.
    pub told: u64,
    /// How many of these nobody accounts for, by reason.
    pub exempt: BTreeMap<Exemption, u64>,
}

impl Exemptions {
    pub(super) fn add(&mut self, exemption: Exemption) {
        *self.exempt.entry(exemption).or_default() += 1;
    }
}

impl AddAssign for Exemptions {
    fn add_assign(&mut self, other: Self) {
        self.owed += other.owed;
        self.told += other.told;
        for (exemption, count) in other.exempt {
            *self.exempt.entry(exemption).or_default() += count;
        }
    }
}

impl fmt::Display for Exemptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events owed, {} told as lost", self.owed, self.told)?;
        for (exemption, count) in &self.exempt {
            write!(f, ", {count} exempt ({exemption})")?;
        }
        Ok(())
    }
}
