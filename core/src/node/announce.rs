//! What a node says without a number: heartbeats, asks, questions, answers and the goodbye.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::Node;
use super::peers::NAMED;
use super::pulse::Leaving;
use crate::bus::Lane;
use crate::envelope::{FrameWriter, Header, Heartbeat, Message};
use crate::receipt::Refusal;
use crate::time::Instant;

/// The most that a heartbeat takes beside its lists, and with each lane, in bytes.
const HEARTBEAT: usize = 128;
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
        if !self.pulse.due && !self.reception.asks() && self.control.is_empty() {
            return None;
        }
        let stamp = self.origin.stamp(now);
        let header = Header {
            stamp,
            before: stamp,
            ..Header::new(self.id, 0, 0)
        };
        let mut writer = FrameWriter::new(header, self.frame).ok()?;
        if self.pulse.due {
            let heartbeat = self.heartbeat_at(now);
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

    /// The heartbeat that is due. Where the lanes that are to be listed do not fit a frame, another is due behind it.
    fn heartbeat_at(&mut self, now: Instant) -> Heartbeat {
        let remembered = self.config.remembered();
        let since = (now - remembered).since_origin();
        let room = self.frame.saturating_sub(HEARTBEAT + NAMED * 40) / PROGRESS;
        let behind = self.origin.has_more_progress();
        let (lanes, whole) = self.origin.progress(since, room.max(1));
        let since = if whole { Duration::ZERO } else { since };
        self.pulse.due = self.origin.has_more_progress();
        let goodbye = matches!(self.leaving, Leaving::At(at) if at <= now) && !self.pulse.due;
        if goodbye {
            self.leaving = Leaving::Done;
        }
        let peers = &mut self.reception.peers;
        let heard = peers.name(now, &self.config);
        let left = match core::mem::take(&mut self.greeted) {
            true => peers.left(now),
            false => Vec::new(),
        };
        if peers.values().any(|peer| peer.owed) {
            self.pulse.hasten(now, self.settle() / 2);
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
