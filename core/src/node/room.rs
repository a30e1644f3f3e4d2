//! What is done with frames of nodes for which there is no room.

use super::Node;
use crate::node_id::NodeId;
use crate::time::Instant;

impl Node {
    /// A frame came of a node for which there is no room: members have all places. It is named to others in turn, so that it
    /// takes what this node publishes, and gets what it asks for. What it publishes itself is dropped.
    pub(super) fn turn_away(&mut self, now: Instant, origin: NodeId) {
        let Some(peer) = self.reception.peers.get_mut(origin) else {
            return;
        };
        if peer.proven || peer.foreign {
            return;
        }
        // That is told for all such nodes together.
        (peer.unanswered, peer.mutual.deaf) = (None, None);
        let published = peer.published;
        self.reception.counters.implausible += 1;
        self.reception.drop_published(now, origin);
        let ours = self.reception.lanes.first().unwrap_or(now);
        if self.reception.beyond.came(now, ours, published) {
            self.changed = true;
            self.mark_incomplete();
        }
    }

    /// Tells what nodes published for which there is no room.
    pub(super) fn report_beyond(&mut self, now: Instant) {
        let heartbeat = self.config.heartbeat;
        let beyond = &mut self.reception.beyond;
        self.changed |= beyond.forget(now, heartbeat);
        let ours = self.reception.lanes.first().unwrap_or(now);
        let window = (ours, self.config.time_to_live);
        if let Some(published) = beyond.due(now, heartbeat, window) {
            self.reception.news.deaf(None, None, published);
        }
    }
}
