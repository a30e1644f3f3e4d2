//! How a node is, for its operators.

use alloc::string::String;
use alloc::vec::Vec;

use super::external::ExternalCounts;
use crate::node::Counters;
use crate::node_id::NodeId;

/// How a node of a cluster is, as its driver last knew.
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
    /// Messages that were accepted for relay and given up. Others see a gap.
    pub lost: u64,
    /// What was dropped and skipped.
    pub counters: Counters,
    /// What came from external publishers.
    pub external: ExternalCounts,
}
