//! How long missing numbers are waited for, and when they are asked for.

use core::time::Duration;

use crate::time::Instant;

/// How often numbers are asked for before they are given up.
const TRIES: u32 = 4;

/// The wait for the first numbers that are missing of a flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    /// When it was noticed that numbers are missing, and the last of them that was known then.
    noticed: Instant,
    first_last: u64,
    /// The last of them that is known now.
    last: u64,
    /// Whether frames wait behind them.
    blocks: bool,
    ask_at: Instant,
    /// How often they were asked for since the origin came, when last, and the stamp of the first ask.
    asks: u32,
    asked: Instant,
    stamp: Duration,
    /// When the origin said that it had heard an ask, and the stamp with which it said so.
    confirmed: Option<(Instant, Duration)>,
    /// When a frame came that was sent again.
    progress: Instant,
}

impl Wait {
    pub(super) fn new(now: Instant, last: u64, ask_at: Instant) -> Self {
        Self {
            noticed: now,
            first_last: last,
            last,
            blocks: false,
            ask_at,
            asks: 0,
            asked: now,
            stamp: Duration::MAX,
            confirmed: None,
            progress: now,
        }
    }

    /// Whether this is the wait for the numbers from `next` on.
    pub(super) fn is_of(&self, next: u64) -> bool {
        next <= self.last
    }

    /// The missing numbers are known up to this one.
    pub(super) fn reaches(&mut self, last: u64) {
        self.last = last;
    }

    /// Frames wait behind what is missing: it is lost, and to be asked for then. What was asked while nothing waited says
    /// nothing of how long it takes: the lane may have stood still.
    pub(super) fn blocks(&mut self, ask_at: Instant) {
        if !self.blocks {
            *self = self.anew(ask_at);
            self.blocks = true;
        }
    }

    /// When it was noticed that the numbers up to this one are missing.
    pub(super) fn noticed(&self, last: u64) -> Option<Instant> {
        (last <= self.first_last).then_some(self.noticed)
    }

    /// Whether the numbers were asked for.
    pub(super) fn is_asked(&self) -> bool {
        self.asks > 0
    }

    pub(super) fn ends_by(&self, last: u64) -> bool {
        self.last <= last
    }

    pub(super) fn ask_at(&self) -> Instant {
        self.ask_at
    }

    pub(super) fn put_off(&mut self, until: Instant) {
        self.ask_at = self.ask_at.max(until);
    }

    /// The numbers are asked for now: again after a sixteenth of a heartbeat, then after twice as long each time.
    pub(super) fn asked(
        &mut self,
        now: Instant,
        stamp: Duration,
        heartbeat: Duration,
        round_trip: Duration,
    ) {
        let pause = (heartbeat / 16).saturating_mul(1 << self.asks.min(4));
        self.ask_at = now + pause.max(round_trip * 3 / 2);
        (self.asked, self.asks) = (now, self.asks + 1);
        // An answer to any of the asks is one.
        self.stamp = self.stamp.min(stamp);
    }

    /// The origin has heard what we sent at `heard`.
    pub(super) fn confirmed(
        &mut self,
        now: Instant,
        heard: Duration,
        sent: Duration,
        heartbeat: Duration,
        round_trip: Duration,
    ) {
        if self.asks > 0 && heard >= self.stamp && self.confirmed.is_none() {
            self.confirmed = Some((now, sent));
            // The ask may have come just after the frames were sent again for another node, and was then ignored.
            self.ask_at = now + round_trip + heartbeat / 16;
        }
        // A round trip during which a clock stood seemed to be long.
        self.ask_at = self.ask_at.min(now + heartbeat.max(round_trip * 3 / 2));
    }

    /// A frame came that was sent again.
    pub(super) fn progressed(&mut self, now: Instant) {
        self.progress = now;
    }

    /// When the numbers are given up: half a heartbeat and two round trips after the origin heard an ask, or after the
    /// last frame that was sent again; when they were asked for four times, for what is sent again may be lost as well; and
    /// only once a frame has come that was made after the answer, for before that the lane may stand still, and what was sent
    /// again with it.
    pub(super) fn gives_up(
        &self,
        heartbeat: Duration,
        round_trip: Duration,
        newest: Duration,
    ) -> Option<Instant> {
        let (at, sent) = self.confirmed?;
        (newest > sent && self.asks >= TRIES).then(|| {
            let patience = at.max(self.progress) + heartbeat / 2 + round_trip * 2;
            patience.max(self.asked + round_trip * 3 / 2)
        })
    }

    /// The wait begins again.
    pub(super) fn anew(&self, ask_at: Instant) -> Self {
        Self {
            ask_at,
            asks: 0,
            stamp: Duration::MAX,
            confirmed: None,
            ..*self
        }
    }

    /// Whether the origin heard an ask this long ago, and nothing was sent again since.
    pub(super) fn is_unanswered(&self, now: Instant, patience: Duration) -> bool {
        self.confirmed
            .is_some_and(|(at, _)| now - at.max(self.progress) > patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(2);

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    /// A round trip during which the origin's clock stood seems to be longer than it was.
    #[test]
    fn what_was_put_off_for_a_long_round_trip_is_asked_for_once_it_is_short() {
        let secs = Duration::from_secs;
        let mut wait = Wait::new(at(1), 7, at(1));
        wait.asked(at(1), secs(1), HEARTBEAT, secs(30));
        wait.confirmed(at(2), secs(1), secs(2), HEARTBEAT, secs(30));
        assert!(wait.ask_at() > at(30));
        wait.confirmed(at(4), secs(1), secs(4), HEARTBEAT, secs(1));
        assert_eq!(wait.ask_at(), at(6));
    }
}
