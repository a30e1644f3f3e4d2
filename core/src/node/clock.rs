//! What is known of another node's clock: by how much ours is ahead, and how long a frame takes there and back.

use core::time::Duration;

use crate::time::Instant;

/// The time between two clocks in microseconds, negative if the other clock began first.
type Difference = i128;

/// Bounds of the difference between our clock and an origin's, from the heartbeats that came lately.
///
/// A heartbeat that the origin stamped `sent` and we received at `now` was longer on its way than nothing, so our clock is
/// ahead by less than `now - sent`: the smallest of these is the upper bound. One that says that our frame of the moment
/// `ours` was heard `ago` before gives a lower bound, `ours - (sent - ago)`, for our frame was longer on its way than
/// nothing. Both together are the round trip. Only heartbeats count: a repaired frame has the stamp of its first sending.
#[derive(Debug, Default)]
pub(super) struct PeerClock {
    upper: Extreme,
    lower: Extreme,
    /// The longer of the last two round trips.
    round_trips: [Option<Duration>; 2],
    /// What the origin's clock showed after it leapt, or after ours stood: what it showed before says nothing of ours.
    steady: Duration,
}

/// Two bounds that contradict each other by more than this are of clocks that leapt, in microseconds.
const LEAP: Difference = 1_000;

impl PeerClock {
    /// A heartbeat came.
    pub(super) fn heard(&mut self, now: Instant, sent: Duration, window: Duration) {
        let ahead = micros(now.since_origin()) - micros(sent);
        if self.lower.best().is_some_and(|least| ahead + LEAP < least) {
            self.steady = sent;
        }
        self.upper.record(now, -ahead, window);
    }

    /// The origin said, in a heartbeat that it stamped `sent`, that it had heard our frame of the moment `ours` for so long.
    pub(super) fn echoed(
        &mut self,
        now: Instant,
        sent: Duration,
        ours: Duration,
        ago: Duration,
        window: Duration,
    ) {
        let ahead = micros(ours) - (micros(sent) - micros(ago));
        self.lower.record(now, ahead, window);
        let round_trip = now.since_origin().saturating_sub(ours).saturating_sub(ago);
        self.round_trips = [Some(round_trip), self.round_trips[0]];
    }

    /// How long a frame takes to the origin and back, as far as is known.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trips.into_iter().flatten().max()
    }

    /// How old at least a frame with this stamp is.
    pub(super) fn age(&self, now: Instant, stamp: Duration) -> Duration {
        match self.ours(stamp) {
            Some(sent) => now - sent,
            None => Duration::ZERO,
        }
    }

    /// Whether the origin cannot have stamped a frame with this time yet.
    pub(super) fn is_future(&self, now: Instant, stamp: Duration, tolerance: Duration) -> bool {
        let Some(ahead) = self.lower.best_at(now) else {
            return false;
        };
        micros(stamp) > micros(now.since_origin()) - ahead + micros(tolerance)
    }

    /// The latest moment of our clock at which the origin's showed this time; zero if ours had not begun.
    pub(super) fn ours(&self, theirs: Duration) -> Option<Instant> {
        let ahead = -self.upper.best()?;
        Some(Instant::from_origin(duration(micros(theirs) + ahead)))
    }

    /// The latest moment of our clock at which the origin's showed this time, unless one of the clocks leapt since.
    pub(super) fn ours_if_steady(&self, theirs: Duration) -> Option<Instant> {
        self.ours(theirs).filter(|_| theirs >= self.steady)
    }

    /// The earliest moment of our clock at which the origin's showed this time, as far as is known.
    pub(super) fn ours_at_least(&self, theirs: Duration) -> Instant {
        let ahead = self
            .lower
            .best()
            .or_else(|| self.upper.best().map(|best| -best));
        Instant::from_origin(duration(micros(theirs) + ahead.unwrap_or_default()))
    }

    /// The latest time that the origin's clock showed at this moment of ours, as far as is known.
    pub(super) fn theirs_at_most(&self, ours: Instant) -> Duration {
        match self.lower.best() {
            Some(ahead) => duration(micros(ours.since_origin()) - ahead),
            None => Duration::MAX,
        }
    }

    /// The earliest time that the origin's clock showed at this moment of ours; zero if it had not begun.
    pub(super) fn theirs(&self, ours: Instant) -> Duration {
        let ahead = self.upper.best().map_or(0, |best| -best);
        duration(micros(ours.since_origin()) - ahead)
    }
}

/// The greatest of the values of two windows. When the younger window is full it becomes the older one, which is
/// forgotten: a forged value, or one from before a clock stood still, counts for two windows at most.
#[derive(Debug, Default)]
struct Extreme {
    since: Instant,
    window: Duration,
    younger: Option<Difference>,
    older: Option<Difference>,
}

impl Extreme {
    fn record(&mut self, now: Instant, value: Difference, window: Duration) {
        if now - self.since >= window {
            self.since = now;
            self.older = self.younger.take();
        }
        self.window = window;
        self.younger = self.younger.max(Some(value));
    }

    /// The greatest value that is not to be forgotten by now, whether or not others came.
    fn best_at(&self, now: Instant) -> Option<Difference> {
        let age = now - self.since;
        match () {
            () if age < self.window => self.best(),
            () if age < self.window * 2 => self.younger,
            () => None,
        }
    }

    fn best(&self) -> Option<Difference> {
        self.younger.max(self.older)
    }
}

fn micros(time: Duration) -> Difference {
    time.as_micros().try_into().unwrap_or(Difference::MAX >> 1)
}

fn duration(micros: Difference) -> Duration {
    Duration::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(8);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn at(milliseconds: u64) -> Instant {
        Instant::from_origin(ms(milliseconds))
    }

    /// Of a peer whose clock began 10 s before ours; frames take 30 ms to us and 50 ms to it.
    fn clock() -> PeerClock {
        let mut clock = PeerClock::default();
        clock.heard(at(1_000), ms(10_970), WINDOW);
        // Our frame of 900 came to it at 950, 20 before it made the heartbeat.
        clock.echoed(at(1_000), ms(10_970), ms(900), ms(20), WINDOW);
        clock
    }

    #[test]
    fn a_moment_lies_between_two_bounds_that_are_a_round_trip_apart() {
        let clock = clock();
        assert_eq!(clock.round_trip(), Some(ms(80)));
        assert_eq!(clock.ours(ms(11_000)), Some(at(1_030)));
        assert_eq!(clock.ours_at_least(ms(11_000)), at(950));
        assert_eq!(clock.theirs(at(1_030)), ms(11_000));
        assert_eq!(clock.age(at(2_030), ms(11_000)), ms(1_000));
    }

    #[test]
    fn what_the_origin_cannot_have_stamped_yet_is_of_the_future() {
        let clock = clock();
        assert!(!clock.is_future(at(2_000), ms(12_050), Duration::ZERO));
        assert!(clock.is_future(at(2_000), ms(12_051), Duration::ZERO));
        assert!(!clock.is_future(at(2_000), ms(12_051), ms(1)));
        assert!(!PeerClock::default().is_future(at(0), Duration::MAX, Duration::ZERO));
    }

    #[test]
    fn what_a_clock_showed_before_it_leapt_is_dated_by_nobody() {
        let mut clock = clock();
        assert_eq!(clock.ours_if_steady(ms(10_970)), Some(at(1_000)));
        clock.heard(at(3_000), ms(32_000), WINDOW);
        assert_eq!(clock.ours_if_steady(ms(10_970)), None);
        assert_eq!(clock.ours_if_steady(ms(32_000)), Some(at(3_000)));
    }

    /// What a node says whose clock leapt is taken for forged, until what is known of the clock is too old.
    #[test]
    fn a_bound_of_the_future_is_forgotten_where_nothing_else_comes() {
        let clock = clock();
        let leapt = |now: u64| clock.is_future(at(now), ms(now + 20_000), Duration::ZERO);
        assert!(leapt(2_000));
        assert!(leapt(15_999));
        assert!(!leapt(16_000));
    }

    #[test]
    fn a_late_heartbeat_moves_nothing_and_an_old_bound_is_forgotten() {
        let mut clock = clock();
        clock.heard(at(4_000), ms(11_000), WINDOW);
        assert_eq!(clock.ours(ms(11_000)), Some(at(1_030)));
        // The origin's clock stood still for 600 s.
        for second in [605, 614, 623_u64] {
            clock.heard(
                at(second * 1_000),
                ms(second * 1_000 + 10_000 - 600_030),
                WINDOW,
            );
        }
        assert_eq!(clock.ours(ms(11_000)), Some(at(601_030)));
    }
}
