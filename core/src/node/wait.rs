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
    /// The stamp of the ask after which the numbers may be given up.
    tried: Duration,
    /// When the origin said that it had heard an ask.
    confirmed: Option<Instant>,
    /// When it said so of the ask after which they may be given up, and the stamp with which it said so.
    answered: Option<(Instant, Duration)>,
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
            tried: Duration::MAX,
            confirmed: None,
            answered: None,
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
        if self.asks >= TRIES {
            self.tried = self.tried.min(stamp);
        }
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
            self.confirmed = Some(now);
            // The ask may have come just after the frames were sent again for another node, and was then ignored.
            self.ask_at = now + round_trip + heartbeat / 16;
        }
        if heard >= self.tried {
            self.answered.get_or_insert((now, sent));
        }
        // A round trip during which a clock stood seemed to be long.
        self.ask_at = self.ask_at.min(now + heartbeat.max(round_trip * 3 / 2));
    }

    /// A frame came that was sent again.
    pub(super) fn progressed(&mut self, now: Instant) {
        self.progress = now;
    }

    /// When the numbers are given up: half a heartbeat and two round trips after the origin said that it had heard the fourth
    /// ask, for what is sent again may be lost as well, or after the last frame that was sent again; and only once a frame has
    /// come that was made after that, for before it the lane may stand still, and what was sent again with it.
    pub(super) fn gives_up(
        &self,
        heartbeat: Duration,
        round_trip: Duration,
        newest: Duration,
    ) -> Option<Instant> {
        let (at, sent) = self.answered?;
        (newest > sent).then(|| {
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
            tried: Duration::MAX,
            confirmed: None,
            answered: None,
            ..*self
        }
    }

    /// Whether the origin heard an ask this long ago, and nothing was sent again since.
    pub(super) fn is_unanswered(&self, now: Instant, patience: Duration) -> bool {
        self.confirmed
            .is_some_and(|at| now - at.max(self.progress) > patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(2);

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    /// Where everything stands still behind an answer, the asks do that came after it.
    #[test]
    fn what_the_origin_was_not_heard_to_be_asked_for_four_times_is_not_given_up() {
        let secs = Duration::from_secs;
        let mut wait = Wait::new(at(1), 7, at(1));
        let confirmed = |wait: &mut Wait, heard| {
            wait.confirmed(at(9), secs(heard), secs(9), HEARTBEAT, secs(1));
            wait.gives_up(HEARTBEAT, secs(1), secs(10)).is_some()
        };
        for ask in 1..=4 {
            wait.asked(at(ask), secs(ask), HEARTBEAT, secs(1));
        }
        assert!(!confirmed(&mut wait, 1));
        assert!(!confirmed(&mut wait, 3));
        assert!(confirmed(&mut wait, 4));
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
