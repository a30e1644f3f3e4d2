//! Spawning and time on smol.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::clock::SystemClock;

/// Runs the future on smol's global executor, detached. `SMOL_THREADS` says on how many threads.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    smol::spawn(future).detach();
}

/// The system's clock, which counts the time in which the machine is suspended where
/// [a clock does](midplane_core::Timer), and async-io's timers.
#[derive(Debug, Clone)]
pub struct Timer {
    clock: SystemClock,
}

impl Timer {
    /// A timer whose `now` counts from this call.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clock: SystemClock::new(),
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
        midplane_core::Instant::from_origin(self.clock.elapsed())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        smol::Timer::after(duration).map(drop).boxed()
    }
}

/// smol, with its global executor, whose threads are its own.
#[derive(Debug, Clone, Default)]
pub struct Runtime {
    timer: Timer,
}

impl Runtime {
    /// The runtime, with a clock that counts from this call.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl midplane_core::Runtime for Runtime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        spawn(task);
    }
}

impl midplane_core::Timer for Runtime {
    fn now(&self) -> midplane_core::Instant {
        self.timer.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.timer.sleep(duration)
    }
}

pub(crate) fn current() -> Option<Arc<dyn midplane_core::Runtime>> {
    Some(Arc::new(Runtime::new()))
}
