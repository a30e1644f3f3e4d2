//! What is finished and not yet handled: the seam behind the reconciler.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use async_trait::async_trait;

use super::{BackendError, Completion, Cursor, ExecutionId};

/// The store's record of which finished executions were handled, and who is at it.
///
/// It holds whether or not any stream works. All times are by the store's own clock, so nodes need agree
/// on none. An execution is handled once for the store as a whole: programs that each need to handle all
/// completions use a store each, or the stream alone.
#[async_trait]
pub trait Ledger: Send + Sync + fmt::Debug + 'static {
    /// A page of executions that finished at least [`stale`](Scan::stale) ago, are not handled, are not
    /// under anybody's lease and are not waiting for another try, in an order that does not change while
    /// they stay so, strictly behind [`after`](Scan::after). Nothing changes.
    ///
    /// # Errors
    /// When the store does not answer; nothing is lost, scan again.
    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError>;

    /// Takes a lease of this length on each execution that is finished, not handled, and under no lease
    /// that still runs; one that waits for another try can be claimed. Whoever does not come back loses
    /// its leases by time alone. Ids that cannot be claimed are left out.
    ///
    /// # Errors
    /// When the store does not answer. Leases may have been taken, and end by time.
    async fn claim(
        &self,
        executions: &[ExecutionId],
        lease: Duration,
    ) -> Result<Vec<Claim>, BackendError>;

    /// The work of these claims is done: they are never scanned or claimed again. A claim whose lease
    /// ended and which somebody else took since changes nothing.
    ///
    /// # Errors
    /// When the store does not answer. Those not settled come back when their leases end.
    async fn handled(&self, claims: &[Claim]) -> Result<(), BackendError>;

    /// The work of these claims failed: their leases end, each is counted as a failure, and none is
    /// scanned before `pause` has passed. A claim that somebody else took since changes nothing.
    ///
    /// # Errors
    /// When the store does not answer. Those not settled come back when their leases end.
    async fn release(&self, claims: &[Claim], pause: Duration) -> Result<(), BackendError>;
}

const _: fn(&dyn Ledger) = |_| ();

/// What to scan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scan {
    /// How long ago an execution must have finished, so that the stream has had its chance.
    pub stale: Duration,
    /// Where the page before ended; `None` from the start.
    pub after: Option<Cursor>,
    /// How many executions at most; one at least.
    pub most: usize,
}

impl Scan {
    /// The first page, of so many executions at most, of what finished so long ago.
    #[must_use]
    pub const fn new(stale: Duration, most: usize) -> Self {
        Self {
            stale,
            after: None,
            most,
        }
    }

    /// The page behind this place.
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
    /// Where to go on; `None` when this was the last page. Of use to the ledger that gave it alone.
    pub next: Option<Cursor>,
}

impl Scanned {
    /// A page with these executions, and where the next one starts.
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
    /// What tells this claim from every other on the execution.
    pub token: u64,
    /// How often the work on it failed before.
    pub failures: u32,
}

impl Claim {
    /// A lease with this token on an execution that failed so often.
    #[must_use]
    pub const fn new(execution: ExecutionId, token: u64, failures: u32) -> Self {
        Self {
            execution,
            token,
            failures,
        }
    }
}
