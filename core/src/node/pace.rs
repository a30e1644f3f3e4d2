//! How soon after a heartbeat the next one is made before its time: what all nodes receive grows with the square of their
//! number.

use core::time::Duration;

use super::Node;
use crate::time::Instant;

/// How many nodes answer a hello at once, each within half of the time that an answer may take. With N times as many,
/// each node waits up to N times as long: every node receives all the answers, and they come no faster than those of 16.
const ANSWERING: u32 = 16;

/// How many greetings in a heartbeat slow down nobody.
const GREETINGS: u32 = 64;

/// Beside how many members a node asks as soon as one is late.
const FEW: u32 = 64;

impl Node {
    /// The others answer a hello within this time, or are judged by their next heartbeat.
    pub(super) fn settle(&self) -> Duration {
        self.config.heartbeat / 8
    }

    /// How soon after a heartbeat a hello is answered with another, which serves all who greeted meanwhile. After
    /// an outage every node greets: were each answered by every other, what goes around would grow with the
    /// square of their number, and the bus might lose their links of it, and be greeted again.
    pub(super) fn answers_after(&self, members: usize) -> Duration {
        let members = u32::try_from(members).unwrap_or(u32::MAX);
        let pause = (self.settle() / 2).saturating_mul((members / ANSWERING).max(1));
        pause.min(self.config.heartbeat)
    }

    /// How soon after a heartbeat the next names those that wait for it. Names can be made up, and many nodes that start at
    /// once all name each other: beside more than 64 of such fewer are named in a time.
    pub(super) fn names_after(&self, now: Instant) -> Duration {
        let heartbeat = self.config.heartbeat;
        let greetings = self.greetings.lately(now, heartbeat);
        let pause = (self.settle() / 2).saturating_mul((greetings / GREETINGS).max(1));
        pause.min(heartbeat)
    }

    /// How far apart two heartbeats are at least of which one is made before its time, if they are this far apart beside few
    /// members.
    pub(super) fn apart(&self, beside_few: Duration) -> Duration {
        let members = u32::try_from(self.reception.peers.count()).unwrap_or(u32::MAX);
        let apart = beside_few.saturating_mul((members / FEW).max(1));
        apart.min(beside_few.max(self.config.heartbeat / 2))
    }
}
