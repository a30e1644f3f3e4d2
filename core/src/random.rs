//! Numbers that look random.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::time::Timer;

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
