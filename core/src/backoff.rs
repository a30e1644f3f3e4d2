//! The wait before the next attempt.

use core::time::Duration;

use crate::random::Random;

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
