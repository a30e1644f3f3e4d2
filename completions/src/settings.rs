//! The bounds and times of a listener.

use core::time::Duration;

use midplane_core::Backoff;

/// The bounds and times of a [`Listener`](crate::Listener).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerSettings {
    /// The most handlers that run at once. 32 by default, at least 1.
    pub concurrency: usize,
    /// The most claimed completions that wait for a handler, or for the one before in their flow. 256 by
    /// default.
    pub queue: usize,
    /// How long a claim holds, and so how long a handler may take, the wait included. 60 s by default.
    pub lease: Duration,
    /// How many handled executions are remembered, so that a repeated completion is not handled again.
    /// 10,000 by default.
    pub window: usize,
    /// The time between two walks of the reconciler. 30 s by default.
    pub interval: Duration,
    /// How long ago an execution must have finished for a walk on the interval to take it, so that the
    /// stream is served first. A walk after a subscription takes everything. 10 s by default.
    pub stale: Duration,
    /// The most executions in a page of a walk. 256 by default.
    pub page: usize,
    /// The most pages in a walk; the next walk continues behind them. 64 by default.
    pub pages: usize,
    /// The pause before a failed execution is tried again, by how often it failed: up to 1 s after the
    /// first failure, up to 5 min at most, by default.
    pub backoff: Backoff,
    /// How long the store has to answer a call. 5 s by default.
    pub deadline: Duration,
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            concurrency: 32,
            queue: 256,
            lease: Duration::from_secs(60),
            window: 10_000,
            interval: Duration::from_secs(30),
            stale: Duration::from_secs(10),
            page: 256,
            pages: 64,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(300)),
            deadline: Duration::from_secs(5),
        }
    }
}
