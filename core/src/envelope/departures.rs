//! How far back the lists of lanes go by which a heartbeat names nodes that left.

use alloc::vec::Vec;
use core::time::Duration;

use super::field::{append, micros};
use super::heartbeat::MAX_NODES;
use super::parts::Reader;
use crate::node_id::NodeId;

/// From when on the lanes are listed of nodes that left, in front of the heartbeat that [names](super::Left) them. What later
/// releases say behind this is skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Departures {
    /// The nodes that used lanes which are not listed, and from when on, on the node's own clock, every lane is that was used. Of
    /// another node all are, or who names it does not know.
    pub since: Vec<(NodeId, Duration)>,
}

impl Departures {
    /// From when on every lane is listed that this node used.
    #[must_use]
    pub fn since(&self, node: NodeId) -> Duration {
        let mut since = self.since.iter();
        let found = since.find(|(departed, _)| *departed == node);
        found.map_or(Duration::ZERO, |(_, since)| *since)
    }

    pub(super) fn append(&self, bytes: &mut Vec<u8>) {
        append(bytes, &(self.since.len() as u32));
        for (node, since) in &self.since {
            append(bytes, &(node, micros(*since)));
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let since = reader.list(MAX_NODES, |reader| {
            let (node, since) = reader.take()?;
            Some((node, Duration::from_micros(since)))
        })?;
        reader.skip();
        Some(Self { since })
    }
}
