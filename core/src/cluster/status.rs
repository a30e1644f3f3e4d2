//! The state of a node, for its operators.

use alloc::string::String;
use alloc::vec::Vec;

use super::external::ExternalCounts;
use crate::node::NodeCounters;
use crate::node_id::NodeId;

/// The state of a node of a cluster, as its driver last recorded it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The other nodes that sent a heartbeat lately, and the version of midplane that each said it runs.
    pub members: Vec<(NodeId, String)>,
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
