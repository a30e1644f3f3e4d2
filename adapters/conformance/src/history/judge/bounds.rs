//! The times and sizes that a run is held to.

use std::time::Duration;

/// What a run is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The time between two heartbeats of a node.
    pub heartbeat: Duration,
    /// The age at which an event is given up.
    pub time_to_live: Duration,
    /// The number of lanes the nodes divide the bus into.
    pub lanes: u32,
    /// The longest time a message may be on its way, if it arrives at all.
    pub delay: Duration,
    /// The longest time a node may stay live after it can no longer hear the bus.
    pub notice: Duration,
    /// The most bytes of events that may wait in a node to be sent.
    pub queue: u64,
    /// The longest time from the end of the last fault until every node is live.
    pub heal: Duration,
    /// What accounts for a lost event.
    pub accounting: Accounting,
    /// From when on, if ever, C11 holds: events published from then on arrive, and nobody is told that one did not.
    pub whole: Option<Duration>,
    /// By how much the clocks of the nodes may differ where one node dates what another did.
    pub clock: Duration,
}

/// What accounts for a lost event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounting {
    /// A report of the node, by number or time, and what the connection was told.
    Exact,
    /// What the connection was told.
    Connection,
}

impl Bounds {
    /// How long before a fault a message lost to it may have been sent: four heartbeats report its number, one
    /// may be late, and one on its way.
    pub(super) fn lookback(&self) -> Duration {
        self.heartbeat * 6 + self.delay
    }
}
