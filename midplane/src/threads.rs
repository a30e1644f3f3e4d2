//! Spawning and time on plain threads: futures' thread pool, no async runtime.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::executor::ThreadPool;
use futures::future::BoxFuture;
use futures_timer::Delay;

use crate::clock::SystemClock;

/// One thread per core, started by the first [`spawn`].
static POOL: OnceLock<ThreadPool> = OnceLock::new();

/// Runs the future on a pool of threads that the whole process shares, detached. If the future panics,
/// that ends it and not its thread, as on the runtimes.
///
/// # Panics
/// At the first call, when the system gives no thread.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    start().spawn_ok(AssertUnwindSafe(future).catch_unwind().map(drop));
}

/// The pool, started if it was not.
fn start() -> &'static ThreadPool {
    POOL.get_or_init(|| match ThreadPool::new() {
        Ok(pool) => pool,
        Err(error) => panic!("no thread for the pool: {error}"),
    })
}

/// The system's clock, which counts the time in which the machine is suspended where
/// [a clock does](midplane_core::Timer), and timers on a thread of their own.
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
        Delay::new(duration).boxed()
    }
}

/// Plain threads: futures' pool of one thread for each core, which the process shares.
#[derive(Debug, Clone, Default)]
pub struct Runtime {
    timer: Timer,
}

impl Runtime {
    /// The runtime, with a clock that counts from this call.
    ///
    /// # Panics
    /// When the system gives no thread for the pool.
    #[must_use]
    pub fn new() -> Self {
        start();
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
