//! The wait before the next attempt.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use crate::Timer;

/// Waits that grow with each failure, at random so that nodes which failed together do not come back
/// together: uniformly between nothing and `first * 2^failures`, or `most` where that is less. This is the
/// "full jitter" of <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// The bound of the first wait. 50 ms by default.
    pub first: Duration,
    /// The bound of every wait. 5 s by default.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(5))
    }
}

impl Backoff {
    /// Waits bounded by these two.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// The wait after this many failures, counted from zero.
    pub fn wait(&self, failures: u32, random: &mut Random) -> Duration {
        let bound = self
            .first
            .saturating_mul(2_u32.saturating_pow(failures))
            .min(self.most);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random.below(nanos.saturating_add(1)))
    }
}

/// Numbers that look random, for jitter and for nothing that has to be secret: `SplitMix64`, of
/// <https://doi.org/10.1145/2714064.2660195>.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers that follow from this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Other numbers for each call in a process, and for processes that start at different times: all that
    /// jitter needs.
    pub fn from_clock(timer: &dyn Timer) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed) as u64;
        let place = core::ptr::from_ref(timer).addr() as u64;
        Self(timer.now().since_origin().as_nanos() as u64 ^ (place << 20) ^ (count << 48))
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, or zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product is uniform up to an error of bound / 2^64.
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_spread_over_the_whole_bound_and_never_pass_it() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut random = Random::new(7);
        for (failures, bound) in [(0, 100), (1, 200), (4, 1600), (5, 2000), (u32::MAX, 2000)] {
            let bound = Duration::from_millis(bound);
            let waits = [(); 1000].map(|()| backoff.wait(failures, &mut random));
            assert!(waits.iter().all(|wait| *wait <= bound));
            assert!(waits.iter().any(|wait| *wait < bound / 10));
            assert!(waits.iter().any(|wait| *wait > bound / 10 * 9));
        }
    }
}
