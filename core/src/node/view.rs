//! What a flow is judged by beside what came on it: the time, and what is known of the origin.

use core::time::Duration;

use super::clock::PeerClock;
use crate::envelope::Frame;
use crate::time::Instant;

/// What a flow is judged by beside what came on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) now: Instant,
    pub(super) heartbeat: Duration,
    pub(super) time_to_live: Duration,
    /// Since when the lane is ours to receive.
    pub(super) since: Instant,
    pub(super) clock: &'a PeerClock,
    /// When the origin heard the newest stamp of ours that a heartbeat named, by its clock.
    pub(super) dated: Duration,
    /// Between which stamps heartbeats listed every lane that was used.
    pub(super) listed: (Duration, Duration),
    /// Whether the origin is known to live; nothing of another is delivered or reported.
    pub(super) proven: bool,
    /// How long to wait before what is lost is asked for: other nodes may ask for it as well.
    pub(super) jitter: Duration,
}

impl View<'_> {
    /// The time of the origin from which on the lane is ours.
    pub(super) fn owed_from(&self) -> Duration {
        self.clock.theirs(self.since)
    }

    /// Whether the origin heard a frame of ours after this, as it said: neither clock can have stood in between unseen.
    pub(super) fn is_dated(&self, stamp: Duration) -> bool {
        self.dated >= stamp
    }

    /// When a frame with this stamp was made, at the latest. It may be young, and the origin's clock have stood.
    pub(super) fn until(&self, stamp: Duration) -> Instant {
        let made = self.clock.ours_at_most(stamp);
        let made = made.filter(|_| self.is_dated(stamp)).unwrap_or(self.now);
        made.min(self.now)
    }

    /// Whether a heartbeat that came listed every lane on which an event was published then. Its number may have been used a
    /// time to live later: when it had expired.
    pub(super) fn is_listed(&self, published: Duration) -> bool {
        let used = published.saturating_add(self.time_to_live);
        published >= self.listed.0 && used < self.listed.1
    }

    /// Whether the frame is older than events are delivered.
    pub(super) fn is_stale(&self, frame: &Frame) -> bool {
        let header = frame.header();
        let age = self.clock.age(self.now, header.stamp);
        age.saturating_add(header.waited) > self.time_to_live
    }

    /// When the frame will be stale.
    pub(super) fn stale_at(&self, frame: &Frame) -> Instant {
        let header = frame.header();
        let made = self.clock.ours(header.stamp).unwrap_or(Instant::MAX);
        made + self.time_to_live.saturating_sub(header.waited) + Duration::from_micros(1)
    }

    pub(super) fn round_trip(&self) -> Duration {
        self.clock.round_trip().unwrap_or(self.heartbeat / 8)
    }
}
