//! Spawning and time on tokio.

use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

/// Runs the future on the current tokio runtime, detached.
///
/// # Panics
/// When no tokio runtime is current.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}

/// tokio's clock. Sleeping needs a current runtime with its time driver enabled.
#[derive(Debug, Clone)]
pub struct Timer {
    start: Instant,
}

impl Timer {
    /// A timer whose `now` counts from this call.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
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
        midplane_core::Instant::from_origin(self.start.elapsed())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        sleep(duration).boxed()
    }
}
