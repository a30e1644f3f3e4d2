//! Spawning and time on tokio.

use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use crate::clock::SystemClock;

/// Runs the future on the current tokio runtime, detached.
///
/// # Panics
/// When no tokio runtime is current.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}

/// The system's clock, which counts the time in which the machine is suspended where
/// [a clock does](midplane_core::Timer), and tokio's timers. Sleeping needs a current runtime with its time driver
/// enabled.
///
/// A timer that is made while tokio's time is [paused](::tokio::time) keeps to the paused time.
#[derive(Debug, Clone)]
pub struct Timer {
    clock: TokioClock,
}

#[derive(Debug, Clone, Copy)]
enum TokioClock {
    System(SystemClock),
    Paused(Instant),
}

impl Timer {
    /// A timer whose `now` counts from this call.
    #[must_use]
    pub fn new() -> Self {
        let before = std::time::Instant::now();
        let start = Instant::now();
        let is_paused = start.into_std() < before;
        Self {
            clock: if is_paused {
                TokioClock::Paused(start)
            } else {
                TokioClock::System(SystemClock::new())
            },
        }
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl midplane_core::Timer for Timer {
    fn now(&self) -> midplane_core::Instant {
        midplane_core::Instant::from_origin(match self.clock {
            TokioClock::System(clock) => clock.elapsed(),
            TokioClock::Paused(start) => start.elapsed(),
        })
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        sleep(duration).boxed()
    }
}
