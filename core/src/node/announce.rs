//! What a node says without a number: heartbeats, asks, questions, answers and the goodbye.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::Node;
use super::peers::NAMED;
use super::pulse::Leaving;
use crate::bus::Lane;
use crate::envelope::{
    Departures, FrameWriter, HEADER, Header, Heartbeat, Left, Message, SIGNATURE,
};
use crate::receipt::Refusal;
use crate::time::Instant;

/// The most that a heartbeat takes beside its lists, with each node that was heard, and with each lane, in bytes.
const HEARTBEAT: usize = 128 + SIGNATURE;
const HEARD: usize = 16 + 10 + 5;
const PROGRESS: usize = 5 + 4 * 10;

/// The most messages without a number that wait to be sent.
const CONTROL: usize = 4_096;

/// The software's version, as heartbeats report it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Node {
    /// Queues a message that has no number.
    pub(super) fn enqueue_control(
        &mut self,
        now: Instant,
        message: &Message,
    ) -> Result<(), Refusal> {
        if self.control.len() >= CONTROL {
            return Err(Refusal::Full);
        }
        let queued = self.intake.message(now, Lane(0), message)?;
        self.control.push_back((now, queued.message));
        Ok(())
    }

    /// Begins to leave: what was sent is reported once more and, for a quarter of a heartbeat, sent again to nodes that
    /// miss some of it. Then the node says goodbye, the last thing to send.
    pub fn leave(&mut self, now: Instant) {
        let lonely = self.reception.peers.count() == 0;
        let stay = if lonely {
            Duration::ZERO
        } else {
            self.config.heartbeat / 4
        };
        self.leaving = Leaving::At(now + stay);
        self.pulse.beat(now);
    }

    /// Whether the goodbye was made.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.leaving == Leaving::Done
    }

    /// The next frame without events.
    pub(super) fn control_frame(&mut self, now: Instant) -> Option<Bytes> {
        let idle = !self.pulse.due && !self.reception.asks() && self.control.is_empty();
        // Who says more after the goodbye is a member again.
        if idle || self.has_left() {
            return None;
        }
        let stamp = self.origin.stamp(now);
        let header = Header {
            stamp,
            before: stamp,
            ..Header::new(self.id, 0, 0)
        };
        let signatures = self.origin.signatures();
        let mut writer = FrameWriter::with_capacity(header, self.frame, HEADER, signatures).ok()?;
        if self.pulse.due {
            let _ = writer.push(&Message::Introduction(self.introduction.clone()));
            let _ = writer.push(&Message::Contact(self.contact(now)));
            let room = writer.room();
            let (left, departures) = self.left_to_name(now, room / 2);
            if !departures.since.is_empty() {
                let _ = writer.push(&Message::Departures(departures));
            }
            let room = if left.is_empty() { room } else { room / 2 };
            let heartbeat = self.heartbeat_at(now, room, left);
            // A heartbeat fits every frame, for its lists are cut to fit.
            let _ = writer.push(&Message::Heartbeat(heartbeat));
        }
        while let Some(ask) = self.reception.next_ask(now, stamp) {
            if writer.push(&Message::Ask(ask)).is_err() {
                break;
            }
            self.reception.counters.asks += 1;
        }
        while let Some((_, message)) = self.control.front()
            && writer.push_encoded(message).is_ok()
        {
            self.control.pop_front();
        }
        self.pulse.made(now, stamp);
        (writer.messages() > 0).then(|| writer.finish())
    }

    /// The nodes that left which the next heartbeat names, and how far back the lists of their lanes go.
    fn left_to_name(&mut self, now: Instant, room: usize) -> (Vec<Left>, Departures) {
        let Some(naming) = self.names_left.take() else {
            return Default::default();
        };
        let (left, departures, rest) = self.reception.peers.left(now, naming, room);
        if rest.is_some() {
            self.names_left = rest;
            self.pulse.hasten(now, self.config.heartbeat / 16);
        }
        (left, departures)
    }

    /// The heartbeat that is due. Where the lanes that are to be listed do not fit a frame, another is due behind it.
    fn heartbeat_at(&mut self, now: Instant, room: usize, left: Vec<Left>) -> Heartbeat {
        let remembered = self.config.remembered();
        let since = (now - remembered).since_origin();
        // As fine as it is read: what was used at that very moment is listed.
        let since = Duration::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        let room = room.saturating_sub(HEARTBEAT);
        let named = (room / 2 / HEARD).min(NAMED);
        let room = room.saturating_sub(named * HEARD) / PROGRESS;
        let behind = self.origin.has_more_progress();
        let (lanes, whole) = self.origin.progress(since, room.max(1));
        let since = if whole { Duration::ZERO } else { since };
        self.pulse.due = self.origin.has_more_progress();
        let goodbye = matches!(self.leaving, Leaving::At(at) if at <= now) && !self.pulse.due;
        if goodbye {
            self.leaving = Leaving::Done;
        }
        let peers = &mut self.reception.peers;
        let heard = peers.name(now, &self.config, named);
        if peers.values().any(|peer| peer.owed) {
            self.pulse.hasten(now, self.names_after(now));
        }
        Heartbeat {
            version: String::from(VERSION),
            hello: core::mem::take(&mut self.pulse.hello),
            goodbye,
            partial: behind || self.pulse.due,
            since,
            lanes,
            heard,
            left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Limits;
    use crate::envelope::{Decoded, Frame};
    use crate::node::{Config, Intake};
    use crate::node_id::NodeId;
    use crate::{Audience, Event, Scope, Target};

    /// The heartbeats among what the node sends now, all of which comes back to it.
    fn heartbeats(node: &mut Node, now: Instant) -> Vec<Heartbeat> {
        let mut made = Vec::new();
        while let Some(sent) = node.transmit(now) {
            node.receive(now, sent.lane, &sent.frame);
            let Ok(Decoded::Frame(frame)) = Frame::decode(&sent.frame, 1 << 16) else {
                continue;
            };
            let messages = frame.messages().filter_map(|(_, message)| message.ok());
            made.extend(messages.filter_map(|message| match message {
                Message::Heartbeat(heartbeat) => Some(heartbeat),
                _ => None,
            }));
        }
        made
    }

    /// Clocks are finer than stamps.
    #[test]
    fn a_lane_that_was_used_when_a_list_begins_is_listed() {
        let config = Config::default();
        let limits = Limits::new(1 << 16);
        let begin = Instant::from_origin(Duration::from_nanos(1_000_000_457));
        let mut node = Node::new(NodeId([1; 16]), config, limits);
        let intake = Intake::new(1, limits);
        node.connected(begin);
        heartbeats(&mut node, begin);
        let used = begin + config.heartbeat * 2;
        let mut now = begin;
        while now < used + config.remembered() {
            now += config.heartbeat / 4;
            if now == used {
                let audience = Audience::from(Target::topic("t").unwrap());
                let event = Event::text("used");
                let queued = intake.publish(now, &Scope::default(), &audience, &event);
                node.enqueue(queued.unwrap());
                heartbeats(&mut node, now);
            }
            node.tick(now);
            for heartbeat in heartbeats(&mut node, now) {
                let listed = heartbeat.lanes.iter().any(|lane| lane.last == 1);
                assert_eq!(listed, now >= used, "{now:?}: {heartbeat:?}");
            }
        }
    }
}
