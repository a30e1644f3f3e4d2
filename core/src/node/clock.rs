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
///
/// A frame that has just come is judged by the bounds of now, to which an echo of what was sent long ago does not belong. What
/// happened a while ago is dated by the loosest bounds that there were since: one of the clocks may have stood or leapt in
/// between.
#[derive(Debug, Default)]
pub(super) struct PeerClock {
    /// The negative of the upper bound, and the lower bound.
    upper: Extreme,
    lower: Extreme,
    /// The loosest that they were: the upper bound, and the negative of the lower one.
    upper_lately: Extreme,
    lower_lately: Extreme,
    /// The upper bound of the heartbeat that came last: of clocks of which one stood or leapt for less than a round trip
    /// the best bounds do not contradict each other.
    last: Option<Difference>,
    /// The longer of the last two round trips.
    round_trips: [Option<Duration>; 2],
}

/// For how long bounds count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    /// For a frame that comes now, at least.
    pub(super) now: Duration,
    /// For what happened a while ago.
    pub(super) lately: Duration,
}

/// Two bounds that contradict each other by more than this are of clocks that leapt, in microseconds.
const LEAP: Difference = 1_000;

impl PeerClock {
    /// A heartbeat came.
    pub(super) fn heard(&mut self, now: Instant, sent: Duration, windows: Windows) {
        let ahead = micros(now.since_origin()) - micros(sent);
        self.last = Some(ahead);
        self.upper.record(now, -ahead, windows.now);
        let bound = self.upper.best().map_or(ahead, |best| -best);
        self.upper_lately.record(now, bound, windows.lately);
    }

    /// The origin said, in a heartbeat that it stamped `sent`, that it had heard our frame of the moment `ours` for so long.
    /// True if nothing was known before of the latest time that its clock can show, and this tells it.
    pub(super) fn echoed(
        &mut self,
        now: Instant,
        sent: Duration,
        ours: Duration,
        ago: Duration,
        windows: Windows,
    ) -> bool {
        let since = now.since_origin().saturating_sub(ours);
        let Some(round_trip) = since.checked_sub(ago) else {
            // It cannot have heard the frame before that was made.
            return false;
        };
        let ahead = micros(ours) - (micros(sent) - micros(ago));
        if self.upper.best().is_some_and(|best| ahead > LEAP - best) {
            // The origin's clock stood, or ours leapt: what came before would make all that comes now too old.
            self.upper = Extreme::default();
            self.heard(now, sent, windows);
        }
        if self.lower_lately.best().is_none() {
            // What came before may have been recorded, by anyone.
            self.upper_lately = Extreme::default();
            let bound = self.upper.best().map_or(ahead, |best| -best);
            self.upper_lately.record(now, bound, windows.lately);
        }
        self.round_trips = [Some(round_trip), self.round_trips[0]];
        if since > windows.now {
            self.lower_lately.record(now, -ahead, windows.lately);
            return false;
        }
        let news = self.lower.best_at(now).is_none();
        self.lower.record(now, ahead, windows.now);
        let bound = self.lower.best().unwrap_or(ahead);
        self.lower_lately.record(now, -bound, windows.lately);
        news
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

    /// The latest time that the origin's clock can show by now, if anything is known of that.
    pub(super) fn latest(&self, now: Instant) -> Duration {
        let ahead = self.lower.best_at(now);
        ahead.map_or(Duration::MAX, |ahead| {
            duration(micros(now.since_origin()) - ahead)
        })
    }

    /// The latest moment of our clock at which the origin's showed this time, by what came lately; zero if ours had not
    /// begun.
    pub(super) fn ours(&self, theirs: Duration) -> Option<Instant> {
        Some(instant(micros(theirs) - self.upper.best()?))
    }

    /// The latest moment of our clock at which the origin's showed this time, whatever the clocks did since.
    pub(super) fn ours_at_most(&self, theirs: Duration) -> Option<Instant> {
        Some(instant(micros(theirs) + self.loosest()?))
    }

    /// The upper bound that holds whatever the clocks did since.
    fn loosest(&self) -> Option<Difference> {
        self.upper_lately.best().max(self.last)
    }

    /// The earliest moment of our clock at which the origin's showed this time, whatever the clocks did since, as far as is
    /// known.
    pub(super) fn ours_at_least(&self, theirs: Duration) -> Instant {
        let ahead = self.lower_lately.best().map(|bound| -bound);
        let ahead = ahead.or_else(|| self.upper.best().map(|best| -best));
        instant(micros(theirs) + ahead.unwrap_or_default())
    }

    /// The earliest time that the origin's clock showed at this moment of ours, whatever the clocks did since, if the
    /// origin was heard by then; zero if its clock had not begun.
    pub(super) fn theirs(&self, ours: Instant) -> Duration {
        let ahead = self.loosest().unwrap_or_default();
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
        let age = now - self.since;
        if age >= window {
            self.since = now;
            self.older = self.younger.take().filter(|_| age < window * 2);
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

fn instant(micros: Difference) -> Instant {
    Instant::from_origin(duration(micros))
}

fn duration(micros: Difference) -> Duration {
    Duration::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows = Windows {
        now: Duration::from_secs(8),
        lately: Duration::from_secs(36),
    };

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn at(milliseconds: u64) -> Instant {
        Instant::from_origin(ms(milliseconds))
    }

    /// Of a peer whose clock began 10 s before ours; frames take 30 ms to us and 50 ms to it.
    fn clock() -> PeerClock {
        let mut clock = PeerClock::default();
        clock.heard(at(1_000), ms(10_970), WINDOWS);
        // Our frame of 900 came to it at 950, 20 before it made the heartbeat.
        clock.echoed(at(1_000), ms(10_970), ms(900), ms(20), WINDOWS);
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

    /// What was published while our clock stood was published after the moment at which it had come to stand.
    #[test]
    fn a_moment_before_our_clock_stood_is_dated_as_before() {
        let mut clock = clock();
        clock.heard(at(1_500), ms(31_500), WINDOWS);
        assert_eq!(clock.theirs(at(1_400)), ms(11_370));
        assert_eq!(clock.ours(ms(31_400)), Some(at(1_400)));
    }

    #[test]
    fn what_the_origin_cannot_have_stamped_yet_is_of_the_future() {
        let clock = clock();
        assert_eq!(clock.latest(at(2_000)), ms(12_050));
        assert_eq!(PeerClock::default().latest(at(0)), Duration::MAX);
    }

    /// What was published before the origin's clock leapt, or ours stood, was published by the moment at which it did.
    #[test]
    fn what_a_clock_showed_before_it_leapt_is_dated_by_what_was_known_then() {
        let mut clock = clock();
        clock.heard(at(3_000), ms(32_000), WINDOWS);
        assert_eq!(clock.ours_at_most(ms(10_970)), Some(at(1_000)));
        assert_eq!(clock.ours(ms(32_000)), Some(at(3_000)));
    }

    /// What an origin sends whose clock stood for 10 s is not old once it has named a stamp of ours.
    #[test]
    fn what_comes_after_the_origins_clock_stood_is_as_young_as_it_is() {
        let mut clock = clock();
        clock.heard(at(12_000), ms(11_970), WINDOWS);
        assert_eq!(clock.age(at(12_000), ms(11_970)), ms(10_000));
        clock.echoed(at(12_000), ms(11_970), ms(11_900), ms(20), WINDOWS);
        assert_eq!(clock.age(at(12_000), ms(11_970)), ms(0));
        assert_eq!(clock.ours_at_least(ms(10_970)), at(920));
    }

    /// A bound that is too old to be used does not come back with the next.
    #[test]
    fn a_bound_that_was_forgotten_stays_so() {
        let mut clock = clock();
        assert_eq!(clock.latest(at(17_000)), Duration::MAX);
        // The origin's clock leapt by 20 s.
        assert!(clock.echoed(at(17_000), ms(46_970), ms(16_900), ms(20), WINDOWS));
        assert_eq!(clock.latest(at(17_000)), ms(47_050));
    }

    /// What the origin heard long ago says nothing of what its clock shows now: ours may have stood meanwhile, as while its
    /// machine slept.
    #[test]
    fn an_echo_of_long_ago_bounds_nothing_that_comes_now() {
        let mut clock = clock();
        // Our frame of 8,000 came to the origin before our clock stood for 3 s.
        assert!(!clock.echoed(at(17_000), ms(29_970), ms(8_000), ms(8_900), WINDOWS));
        assert_eq!(clock.latest(at(17_000)), Duration::MAX);
        assert!(clock.echoed(at(17_000), ms(29_970), ms(16_900), ms(20), WINDOWS));
        assert_eq!(clock.latest(at(17_000)), ms(30_050));
    }

    /// What a node says whose clock leapt is taken for forged, until what is known of the clock is too old.
    #[test]
    fn a_bound_of_the_future_is_forgotten_where_nothing_else_comes() {
        let clock = clock();
        let leapt = |now: u64| ms(now + 20_000) > clock.latest(at(now));
        assert!(leapt(2_000));
        assert!(leapt(15_999));
        assert!(!leapt(16_000));
    }

    #[test]
    fn a_late_heartbeat_moves_nothing_and_an_old_bound_is_forgotten() {
        let mut clock = clock();
        clock.heard(at(4_000), ms(11_000), WINDOWS);
        assert_eq!(clock.ours(ms(11_000)), Some(at(1_030)));
        // The origin's clock stood still for 600 s.
        for second in [605, 614, 623_u64] {
            clock.heard(
                at(second * 1_000),
                ms(second * 1_000 + 10_000 - 600_030),
                WINDOWS,
            );
        }
        assert_eq!(clock.ours(ms(11_000)), Some(at(601_030)));
    }
}
