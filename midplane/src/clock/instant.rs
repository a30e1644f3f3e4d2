//! std's clock, for systems on which it counts suspend (Windows) or no other does.

use std::time::{Duration, Instant};

/// A clock that counts from when it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.start.elapsed()
    }
}
