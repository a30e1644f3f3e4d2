//! Numbers of a seed, and what tests draw with them.

pub use midplane_core::Random;

/// What tests draw beside plain numbers. The source is [`Random`]: equal seeds give equal numbers on every machine.
pub trait Draw {
    /// True with a chance of one in `times`.
    fn once_in(&mut self, times: u64) -> bool;

    /// One of the items, each as likely as another, or `None` of an empty slice.
    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T>;
}

impl Draw for Random {
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }
}
