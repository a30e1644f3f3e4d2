//! Numbers of a seed, and what tests draw with them.

use std::time::Duration;

pub use midplane_core::Random;

/// What tests draw beside plain numbers. The source is [`Random`]: equal seeds give equal numbers on every machine.
pub trait Draw {
    /// True with a chance of one in `times`.
    fn once_in(&mut self, times: u64) -> bool;

    /// One of the items, each as likely as another, or `None` of an empty slice.
    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T>;

    /// A time from the shortest to the longest, in whole microseconds: each doubling of it is as likely as another.
    fn between(&mut self, shortest: Duration, longest: Duration) -> Duration;
}

impl Draw for Random {
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }

    fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (low, high) = (micros(shortest).max(1), micros(longest));
        let doublings = (high / low).checked_ilog2().unwrap_or(0);
        let base = low << self.below(u64::from(doublings) + 1);
        Duration::from_micros((base + self.below(base)).min(high.max(low)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_are_drawn_as_often_as_long_ones() {
        let mut random = Random::new(7);
        let (shortest, longest) = (Duration::from_millis(1), Duration::from_secs(16));
        let drawn = (0..1_000).map(|_| random.between(shortest, longest));
        let drawn: Vec<Duration> = drawn.collect();
        let within = shortest..=longest;
        assert!(drawn.iter().all(|time| within.contains(time)));
        let middle = Duration::from_millis(128);
        let short = drawn.iter().filter(|time| **time < middle).count();
        assert!((400..600).contains(&short), "{short} of 1,000 are short");
        assert_eq!(random.between(longest, shortest), longest);
    }
}
