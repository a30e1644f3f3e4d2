//! The seam to the clock.

use core::time::Duration;

use futures::future::BoxFuture;

/// A monotonic clock and a way to wait, provided by the runtime that the host runs.
///
/// The `midplane` crate has one for tokio, one for smol and one for plain threads.
pub trait Timer: Send + Sync + 'static {
    /// The time since some fixed instant in the past. It never goes back.
    fn now(&self) -> Duration;

    /// Resolves when `duration` has passed, never earlier. Dropping the future releases the timer.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}
