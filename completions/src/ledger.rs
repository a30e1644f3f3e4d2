//! The seam behind the reconciler: what is finished and not yet handled.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use async_trait::async_trait;

use crate::{BackendError, Completion, Cursor, ExecutionId};

/// The store's record of which finished executions were handled, and which are claimed.
///
/// A ledger works whether or not any stream does. All times are by the store's own clock, so nodes need
/// not agree on the time. An execution is handled once for the store as a whole: programs that each need to handle all
/// completions use a store each, or the stream alone.
#[async_trait]
pub trait Ledger: Send + Sync + fmt::Debug + 'static {
    /// A page of executions that finished at least [`stale`](Scan::stale) ago, are not handled, are under
    /// no lease and are not waiting for another try, in an order that does not change while they stay so,
    /// strictly behind [`after`](Scan::after). Nothing changes.
    ///
    /// # Errors
    /// When the store does not answer. Nothing is lost: scan again.
    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError>;

    /// Takes a lease of this length on each execution that is finished, not handled, and under no lease
    /// that still runs; an execution that waits for another try can be claimed. A claimant that dies loses
    /// its leases by time alone. Ids that cannot be claimed are left out.
    ///
    /// # Errors
    /// When the store does not answer. Leases may have been taken, and end by time.
    async fn claim(
        &self,
        executions: &[ExecutionId],
        lease: Duration,
    ) -> Result<Vec<Claim>, BackendError>;

    /// Records that the work of these claims is done: their executions are never scanned or claimed again.
    /// A claim whose lease ended and whose execution was claimed since changes nothing.
    ///
    /// # Errors
    /// When the store does not answer. Executions that are not settled can be claimed when their leases end.
    async fn handled(&self, claims: &[Claim]) -> Result<(), BackendError>;

    /// Records that the work of these claims failed: their leases end, each is counted as a failure, and no
    /// execution of them is scanned before `pause` has passed. A claim whose lease ended and whose
    /// execution was claimed since changes nothing.
    ///
    /// # Errors
    /// When the store does not answer. Executions that are not settled can be claimed when their leases end.
    async fn release(&self, claims: &[Claim], pause: Duration) -> Result<(), BackendError>;
}

const _: fn(&dyn Ledger) = |_| ();

/// Which page to scan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scan {
    /// How long ago an execution must have finished, so that the stream is served first.
    pub stale: Duration,
    /// The end of the page before; `None` for the first page.
    pub after: Option<Cursor>,
    /// The most executions in the page, at least 1.
    pub most: usize,
}

impl Scan {
    /// The first page, of at most `most` executions that finished at least `stale` ago.
    #[must_use]
    pub const fn new(stale: Duration, most: usize) -> Self {
        Self {
            stale,
            after: None,
            most,
        }
    }

    /// Sets the place that the page is behind.
    #[must_use]
    pub fn after(mut self, place: Option<Cursor>) -> Self {
        self.after = place;
        self
    }
}

/// A page of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scanned {
    /// The executions.
    pub completions: Vec<Completion>,
    /// The end of the page; `None` when this was the last page. Only the ledger that gave it can read it.
    pub next: Option<Cursor>,
}

impl Scanned {
    /// A page with these executions that ends at `next`.
    #[must_use]
    pub const fn new(completions: Vec<Completion>, next: Option<Cursor>) -> Self {
        Self { completions, next }
    }
}

/// A lease on one execution.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The execution.
    pub execution: ExecutionId,
    /// The number that tells this claim from every other on the execution.
    pub token: u64,
    /// How often the work on the execution failed before.
    pub failures: u32,
}

impl Claim {
    /// A lease with this token on an execution that failed this often before.
    #[must_use]
    pub const fn new(execution: ExecutionId, token: u64, failures: u32) -> Self {
        Self {
            execution,
            token,
            failures,
        }
    }
}
