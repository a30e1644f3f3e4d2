//! How many heartbeats came lately of nodes that wait to be named, and that nothing proves or that hurry.

use core::time::Duration;

use crate::time::Instant;

/// Counts in two windows that follow each other.
#[derive(Debug, Default)]
pub(super) struct Greetings {
    since: Instant,
    count: u32,
    before: u32,
}

impl Greetings {
    /// One more came.
    pub(super) fn add(&mut self, now: Instant, window: Duration) {
        let age = now - self.since;
        if age >= window {
            self.before = if age < window * 2 { self.count } else { 0 };
            (self.since, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(1);
    }

    /// How many came within a window, lately.
    pub(super) fn lately(&self, now: Instant, window: Duration) -> u32 {
        match now - self.since < window * 2 {
            true => self.count.max(self.before),
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_count_for_two_windows() {
        let window = Duration::from_secs(2);
        let at = |seconds| Instant::from_origin(Duration::from_secs(seconds));
        let mut greetings = Greetings::default();
        (0..9).for_each(|_| greetings.add(at(10), window));
        assert_eq!(greetings.lately(at(13), window), 9);
        greetings.add(at(13), window);
        assert_eq!(greetings.lately(at(13), window), 9);
        greetings.add(at(15), window);
        assert_eq!(greetings.lately(at(15), window), 1);
        assert_eq!(greetings.lately(at(19), window), 0);
    }
}
