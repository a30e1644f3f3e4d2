//! The seam to the runtime: what spawns.

use core::fmt;

use futures::future::BoxFuture;

use crate::time::Timer;

/// A runtime: a clock, a way to wait, and a way to run a future to its end.
///
/// The core spawns nothing itself: the host spawns the [`Driver`](crate::Driver) of its [`Cluster`](crate::Cluster), and
/// code that does so on any runtime asks for this seam. The `midplane` crate implements it for tokio, smol and plain
/// threads.
pub trait Runtime: Timer + fmt::Debug {
    /// Runs the future to its end, detached. It is called from any thread and never panics: on a runtime that is shut down
    /// the future is dropped.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

const _: fn(&dyn Runtime) = |_| ();
