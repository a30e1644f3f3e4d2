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
    /// default. That number is claimed ahead only where handlers are quick: about half a second of work, and
    /// [`concurrency`](Self::concurrency) where they are slow.
    pub queue: usize,
    /// How long a claim holds unless it is renewed, which happens each third of it while the completion waits and
    /// while its handler runs: how long the work of a node that died lies still. 30 s by default.
    pub lease: Duration,
    /// How long a handler may run. 60 s by default.
    pub patience: Duration,
    /// The most attempts at one execution, after which it is a dead letter. `None`, the default, goes on for ever.
    pub attempts: Option<u32>,
    /// How many handled executions are remembered, so that one is not handled again whose record the store did not
    /// take. 10,000 by default.
    pub window: usize,
    /// The time between two looks into the ledger for which there is no other reason. 30 s by default.
    pub interval: Duration,
    /// The longest that this listener leaves completions to others that were quicker lately. 1 s by default.
    pub reserve: Duration,
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
            lease: Duration::from_secs(30),
            patience: Duration::from_secs(60),
            attempts: None,
            window: 10_000,
            interval: Duration::from_secs(30),
            reserve: Duration::from_secs(1),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(300)),
            deadline: Duration::from_secs(5),
        }
    }
}
