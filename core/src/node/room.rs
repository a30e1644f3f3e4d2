//! What is done with frames of nodes for which there is no room.

use super::Node;
use crate::bus::Lane;
use crate::envelope::{Frame, Message};
use crate::time::Instant;

impl Node {
    /// A frame came of a node for which there is no room. What it misses of this one it gets all the same.
    pub(super) fn turn_away(&mut self, now: Instant, frame: &Frame) {
        let header = frame.header();
        let origin = header.origin;
        if header.first == 0 {
            self.reception.peers.wait(now, origin, header.stamp);
        }
        for (_, message) in frame.messages() {
            match message {
                Ok(Message::Ask(ask)) if ask.to == self.id => self.receive_ask(now, origin, &ask),
                _ => {}
            }
        }
        let ours = self.reception.lanes.since(Lane(frame.header().lane));
        if let Some(ours) = ours
            && self.beyond.came(now, ours, frame)
        {
            self.changed = true;
            self.mark_incomplete();
        }
    }

    /// Tells what nodes published for which there is no room.
    pub(super) fn report_beyond(&mut self, now: Instant) {
        let heartbeat = self.config.heartbeat;
        self.changed |= self.beyond.forget(now, heartbeat);
        let ours = self.reception.lanes.first().unwrap_or(now);
        let window = (ours, self.config.time_to_live);
        if let Some(published) = self.beyond.due(now, heartbeat, window) {
            self.reception.news.deaf(None, None, published);
        }
    }
}
