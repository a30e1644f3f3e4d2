//! The publisher's half of the protocol: what is done with an event before it waits for the bus.

use crate::audience::Audience;
use crate::bus::{Lane, Limits};
use crate::envelope::{Encoded, Message, SIGNATURE};
use crate::event::Event;
use crate::lane_map::LaneMap;
use crate::receipt::{Refusal, TooLarge};
use crate::target::Scope;
use crate::time::Instant;

/// The most that a frame's version, flags, header and signature take, in bytes. What fits a frame fits a signed one.
pub(super) const OVERHEAD: usize = 2 + 16 + 5 + 10 + 16 + SIGNATURE;

/// A message that waits for the bus, written and assigned to its lane; see [`Node::enqueue`](super::Node::enqueue).
#[derive(Debug, Clone)]
pub struct Queued {
    /// When the message was queued. It expires [a time to live](super::Config::time_to_live) later.
    pub since: Instant,
    /// The lane that the message is sent on.
    pub lane: Lane,
    /// The message.
    pub message: Encoded,
}

impl Queued {
    /// The most that the message adds to a frame, in bytes: what it takes of the outgoing queue.
    #[must_use]
    pub fn size(&self) -> usize {
        self.message.size()
    }
}

/// Turns events into messages for the bus: writes them, checks their size and picks their lane.
///
/// A plain value without a lock, of which every publisher may have a copy.
#[derive(Debug, Clone, Copy)]
pub struct Intake {
    lanes: LaneMap,
    /// The largest frame, in bytes.
    frame: usize,
}

impl Intake {
    /// The intake of a node whose bus has this many lanes and these limits.
    #[must_use]
    pub const fn new(lanes: u32, limits: Limits) -> Self {
        Self {
            lanes: LaneMap::new(lanes),
            frame: limits.frame,
        }
    }

    /// Prepares an event for the other nodes.
    ///
    /// # Errors
    /// [`Refusal::TooMany`] when the audience is too long to travel, [`Refusal::TooLarge`] when the event does not fit
    /// a frame of the bus.
    pub fn publish(
        self,
        now: Instant,
        scope: &Scope,
        audience: &Audience,
        event: &Event,
    ) -> Result<Queued, Refusal> {
        let message = Encoded::publish(scope, audience, event)?;
        self.queued(now, self.lanes.lane(scope, audience), message)
    }

    /// Prepares any message for the other nodes.
    ///
    /// # Errors
    /// When the message cannot be written, or does not fit a frame of the bus.
    pub fn message(self, now: Instant, lane: Lane, message: &Message) -> Result<Queued, Refusal> {
        self.queued(now, lane, message.encode()?)
    }

    fn queued(self, since: Instant, lane: Lane, message: Encoded) -> Result<Queued, Refusal> {
        let (bytes, limit) = (message.size() + OVERHEAD, self.frame);
        if bytes > limit {
            return Err(TooLarge { bytes, limit }.into());
        }
        Ok(Queued {
            since,
            lane,
            message,
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::audience::MAX_AUDIENCE;
    use crate::receipt::TooMany;
    use crate::target::Target;

    fn publish(audience: &Audience, bytes: usize) -> Result<Queued, Refusal> {
        let intake = Intake::new(4, Limits::new(1_024));
        let event = Event::binary(vec![0; bytes]);
        intake.publish(Instant::ZERO, &Scope::default(), audience, &event)
    }

    #[test]
    fn an_event_that_fits_is_put_on_the_lane_of_its_target() {
        let audience = Audience::from(Target::topic("news").unwrap());
        let queued = publish(&audience, 10).unwrap();
        let lane = LaneMap::new(4).lane(&Scope::default(), &audience);
        assert_eq!((queued.since, queued.lane), (Instant::ZERO, lane));
        assert!(queued.size() > 10);
    }

    #[test]
    fn an_event_is_refused_from_the_first_byte_that_does_not_fit() {
        let audience = Audience::from(Target::topic("news").unwrap());
        let fits = |bytes: &usize| publish(&audience, *bytes).is_ok();
        let most = (0..1_024).rev().find(fits).unwrap();
        let refused = publish(&audience, most + 1).unwrap_err();
        let (bytes, limit) = (1_025, 1_024);
        assert_eq!(refused, Refusal::TooLarge(TooLarge { bytes, limit }));
    }

    #[test]
    fn an_audience_that_does_not_travel_is_refused() {
        let target = || Target::topic("news").unwrap();
        let audience = (0..MAX_AUDIENCE).fold(Audience::from(target()), |all, _| all.or(target()));
        let count = MAX_AUDIENCE + 1;
        let refused = publish(&audience, 0).unwrap_err();
        assert_eq!(refused, Refusal::TooMany(TooMany { count }));
    }
}
