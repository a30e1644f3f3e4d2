//! A token bucket: how much may be sent by now.

use core::time::Duration;

use crate::time::Instant;

/// Lets `rate` units through in a second, and at most `burst` at once. What is taken may exceed what there is: the
/// excess is owed, and nothing more is let through until it is paid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// Units per second.
    rate: u64,
    burst: u64,
    /// Millionths of units.
    level: i128,
    filled: Instant,
}

const WHOLE: i128 = 1_000_000;

impl Bucket {
    pub(super) fn new(now: Instant, rate: u64, burst: u64) -> Self {
        let (rate, burst) = (rate.max(1), burst.max(1));
        let level = i128::from(burst) * WHOLE;
        Self {
            rate,
            burst,
            level,
            filled: now,
        }
    }

    pub(super) fn set_rate(&mut self, rate: u64) {
        self.rate = rate.max(1);
    }

    /// Sets the rate, and the most that is let through at once.
    pub(super) fn pace(&mut self, rate: u64, burst: u64) {
        (self.rate, self.burst) = (rate.max(1), burst.max(1));
    }

    /// How many units are let through now.
    pub(super) fn available(&mut self, now: Instant) -> u64 {
        let micros = (now - self.filled).as_micros();
        let micros = i128::from(u64::try_from(micros).unwrap_or(u64::MAX));
        let filled = micros * i128::from(self.rate);
        self.level = (self.level + filled).min(i128::from(self.burst) * WHOLE);
        self.filled = now;
        u64::try_from(self.level / WHOLE).unwrap_or(0)
    }

    pub(super) fn take(&mut self, units: u64) {
        self.level -= i128::from(units) * WHOLE;
    }

    /// When this many units will be let through; at most a burst ever is.
    pub(super) fn due(&self, units: u64) -> Instant {
        let lacking = i128::from(units.min(self.burst)) * WHOLE - self.level;
        let rate = i128::from(self.rate);
        let micros = u64::try_from((lacking.max(0) + rate - 1) / rate).unwrap_or(u64::MAX);
        self.filled + Duration::from_micros(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_bucket_lets_its_rate_through_and_a_burst_at_once() {
        let mut bucket = Bucket::new(at(0), 1_000, 50);
        assert_eq!(bucket.available(at(0)), 50);
        bucket.take(50);
        assert_eq!(bucket.available(at(10)), 10);
        assert_eq!(bucket.due(20), at(20));
        assert_eq!(bucket.available(at(5_000)), 50);
    }

    #[test]
    fn what_was_taken_too_much_is_owed() {
        let mut bucket = Bucket::new(at(0), 1_000, 50);
        bucket.take(150);
        assert_eq!(bucket.due(1), at(101));
        assert_eq!(bucket.available(at(100)), 0);
        assert_eq!(bucket.available(at(101)), 1);
        // More than a burst never comes together.
        assert_eq!(bucket.due(9_999), at(150));
    }
}
