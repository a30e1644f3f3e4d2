//! The state of a node, for its operators.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::mailbox::MailboxCounters;
use crate::member::{KnownNode, Reason};
use crate::node::NodeCounters;
use crate::receipt::{Refusal, State};
use crate::registry::Drops;

/// The state of a node and every count that is kept of it. What concerns other nodes is as the driver last recorded it,
/// and stays empty on a node that has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// What the backplane can do.
    pub state: State,
    /// Whether the node is ready for new clients: what others publish comes, and no other node is to be preferred that
    /// is heard by more of the cluster. Nodes that died make no other unready.
    pub ready: bool,
    /// The identity of the broker that this node's link is with, or was last: nodes that do not hear each other may have two.
    /// Empty where the bus cannot tell, or before the first link.
    pub broker: String,
    /// How many connections are attached here.
    pub connections: usize,
    /// Deliveries to connections here that did not happen, by reason.
    pub drops: Drops,
    /// What mailboxes did not deliver, where the host adds it up: [`MailboxCounters`] has the reasons.
    pub mailboxes: MailboxCounters,
    /// Events that were published here and not relayed, by reason.
    pub refusals: RefusalCounts,
    /// The other nodes that sent a heartbeat lately, as they say they are.
    pub members: Vec<KnownNode>,
    /// Why the node is not sure to reach every member, and in which settings members differ from it.
    pub reasons: Vec<Reason>,
    /// How many other nodes are kept track of, members or not.
    pub peers: usize,
    /// How many messages wait for the bus.
    pub queued: usize,
    /// How many bytes the messages that wait for the bus have.
    pub queued_bytes: usize,
    /// Messages that were accepted for relay and given up. Other nodes report a gap.
    pub lost: u64,
    /// What did not come and will not.
    pub missed: MissedCounts,
    /// How many notices the listeners of this node dropped since they were too slow, those of each listener counted.
    pub notices_dropped: u64,
    /// Counts of what was dropped and skipped.
    pub counters: NodeCounters,
    /// What came from external publishers.
    pub external: ExternalCounts,
}

/// What this node did not get from others and will not, since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissedCounts {
    /// Events that are known to be missing.
    pub events: u64,
    /// Gaps in the numbers of another node.
    pub gaps: u64,
    /// Times in which any event of another node may be missing.
    pub deaf: u64,
    /// Incidents, of each of which there is one notice.
    pub incidents: u64,
    /// Reports that sinks of connections took.
    pub reports: u64,
}

/// Events that were published on a node and not relayed to others, by the [reason](Refusal) that the receipts named.
///
/// The counters wrap at the width of `usize`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusalCounts {
    /// The backplane was closed.
    pub closed: usize,
    /// The driver was gone, or never polled.
    pub stopped: usize,
    /// The outgoing queue was full.
    pub full: usize,
    /// The event did not fit a frame of the bus.
    pub too_large: usize,
    /// The audience had too many targets or exclusions.
    pub too_many: usize,
}

/// The counters behind [`RefusalCounts`], which publishers write only when something is refused.
#[derive(Default)]
pub(crate) struct RefusalCounters {
    closed: AtomicUsize,
    stopped: AtomicUsize,
    full: AtomicUsize,
    too_large: AtomicUsize,
    too_many: AtomicUsize,
}

impl RefusalCounters {
    pub(crate) fn count(&self, refusal: &Refusal) {
        let counter = match refusal {
            Refusal::Closed => &self.closed,
            Refusal::Stopped => &self.stopped,
            Refusal::Full => &self.full,
            Refusal::TooLarge(_) => &self.too_large,
            Refusal::TooMany(_) => &self.too_many,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> RefusalCounts {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        RefusalCounts {
            closed: count(&self.closed),
            stopped: count(&self.stopped),
            full: count(&self.full),
            too_large: count(&self.too_large),
            too_many: count(&self.too_many),
        }
    }
}

/// What became of the messages of external publishers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExternalCounts {
    /// Messages that were understood and delivered to their audience on this node.
    pub understood: u64,
    /// Messages that could not be read, or were too large or too old.
    pub refused: u64,
    /// Why the last message was refused.
    pub refusal: Option<String>,
}
