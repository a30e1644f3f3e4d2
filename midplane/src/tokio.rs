//! Spawning and time on tokio.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
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

/// A tokio runtime, also where it is not current: in another runtime, or on a thread without one.
#[derive(Clone)]
pub struct Runtime {
    handle: Handle,
    timer: Timer,
}

impl Runtime {
    /// The runtime that is current, if there is one.
    #[must_use]
    pub fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self::of)
    }

    /// The runtime of this handle. Its timer must be enabled, and for Redis and NATS its I/O.
    #[must_use]
    pub fn of(handle: Handle) -> Self {
        let timer = {
            let _inside = handle.enter();
            Timer::new()
        };
        Self { handle, timer }
    }
}

impl midplane_core::Runtime for Runtime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(self.handle.spawn(task));
    }
}

impl midplane_core::Timer for Runtime {
    fn now(&self) -> midplane_core::Instant {
        self.timer.now()
    }

    /// Waits for a task that sleeps: tokio's own sleep panics where it is polled once its runtime is gone. When the runtime
    /// ends, so does the wait.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Sleep(self.handle.spawn(async move { sleep(duration).await })).boxed()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

/// A task that sleeps, ended with its wait.
struct Sleep(JoinHandle<()>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_unpin(context).map(|slept| match slept {
            // The runtime has no timer: a wait for it must not go on as if time had passed.
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            _ => {}
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn current() -> Option<Arc<dyn midplane_core::Runtime>> {
    Runtime::current().map(|runtime| Arc::new(runtime) as _)
}
