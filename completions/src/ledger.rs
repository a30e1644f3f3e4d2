//! The seam behind the listener: what is finished and not yet handled, and who is at it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use async_trait::async_trait;

use crate::{BackendError, Completion, Cursor, ErrorText, ExecutionId, Filter};

/// The store's record of which finished executions were handled, and which are claimed.
///
/// A ledger works whether or not any stream does. All times are by the store's own clock, so nodes need
/// not agree on the time. An execution is handled once for the ledger as a whole: programs that each need to handle all
/// completions use the ledger of a [group](crate::Groups) each, or the stream alone.
///
/// # Flows
///
/// Executions of one namespace with the same [`FlowId`](crate::FlowId) are a flow, in the order in which they finished.
/// The claim is of the flow: while one of its executions is under a lease, or waits for another try, no other claimant is
/// given any of it, and what is given is always the beginning of what is not handled, in order. A dead letter is passed.
#[async_trait]
pub trait Ledger: Send + Sync + fmt::Debug + 'static {
    /// Takes leases of this length on executions that are finished, not handled, under no lease, not waiting for another
    /// try and let through by the filter, and gives them with their completions: up to [`most`](Take::most), and a few
    /// MiB. What finished earlier comes first within a namespace, and namespaces have their turns, so that none waits for
    /// another. Of a flow, at most [`of_a_flow`](Take::of_a_flow) executions are given, in order; one that the filter leaves out
    /// ends what is given of its flow. A claimant that dies loses its leases by time alone.
    ///
    /// # Errors
    /// When the store does not answer. Leases may have been taken, and end by time.
    async fn take(&self, take: &Take, lease: Duration) -> Result<Taken, BackendError>;

    /// Makes the leases of these claims end this long from now, and gives those claims that are void: their lease ended, or
    /// their execution was claimed by another. A claim whose execution is handled is not void.
    ///
    /// # Errors
    /// When the store does not answer. The leases may end as before.
    async fn renew(&self, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>, BackendError>;

    /// Records what became of the work, all of it in one step where the store has steps, and ends the leases. A claim whose
    /// execution was claimed by another since changes nothing.
    ///
    /// # Errors
    /// When the store does not answer. Executions that are not settled can be claimed when their leases end. The call may
    /// be repeated.
    async fn settle(&self, settled: &[Settled]) -> Result<(), BackendError>;

    /// A page of the executions that are finished and not handled, or of the dead letters with their errors, in the order in
    /// which they finished, strictly behind [`after`](Scan::after), claimed or not. Nothing changes.
    ///
    /// # Errors
    /// When the store does not answer. Nothing is lost: scan again.
    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError>;

    /// Makes dead letters executions that are not handled again, with no failures counted, and gives how many there
    /// were among these.
    ///
    /// # Errors
    /// When the store does not answer. Asking again is safe.
    async fn replay(&self, executions: &[ExecutionId]) -> Result<u64, BackendError>;
}

const _: fn(&dyn Ledger) = |_| ();

/// The most executions of one flow that are taken at once, unless another number is asked for.
pub(crate) const OF_A_FLOW: usize = 32;

/// Which executions to take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Take {
    /// Only what this lets through.
    pub filter: Filter,
    /// The most executions to take, at least 1.
    pub most: usize,
    /// The most executions of one flow, at least 1. 32 by default.
    pub of_a_flow: usize,
}

impl Take {
    /// At most this many executions, whatever they are.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            filter: Filter::all(),
            most,
            of_a_flow: OF_A_FLOW,
        }
    }

    /// Takes only what the filter lets through.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }
}

/// What a call took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The executions, those of one flow in order.
    pub work: Vec<(Completion, Claim)>,
    /// There may be more that can be taken at once. What is left of a flow of which executions were taken is not meant: that
    /// can be taken once these are settled.
    pub more: bool,
}

impl Taken {
    /// A call that took this work, and left more or not.
    #[must_use]
    pub const fn new(work: Vec<(Completion, Claim)>, more: bool) -> Self {
        Self { work, more }
    }
}

/// A lease on one execution.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Claim {
    /// The execution.
    pub execution: ExecutionId,
    /// The number that tells this claim from every other of the store.
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

/// What became of the work of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The claim.
    pub claim: Claim,
    /// What became of the work.
    pub verdict: Verdict,
}

/// What became of the work on an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The work is done: the execution is never taken again.
    Handled,
    /// The work failed. The failure is counted, and the execution is not taken before this pause has passed.
    Failed(Duration),
    /// The work failed once too often: the execution is a dead letter, which is kept and not taken. The text of the last
    /// error is kept with it.
    Dead(ErrorText),
    /// The work was not begun. Nothing is counted, and the execution can be taken at once.
    Returned,
}

/// Which page to scan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scan {
    /// Dead letters instead of what is to be handled.
    pub dead: bool,
    /// The end of the page before; `None` for the first page.
    pub after: Option<Cursor>,
    /// The most executions in the page, at least 1.
    pub most: usize,
}

impl Scan {
    /// The first page, of at most `most` executions that are not handled.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            dead: false,
            after: None,
            most,
        }
    }

    /// The first page, of at most `most` dead letters.
    #[must_use]
    pub const fn dead(most: usize) -> Self {
        Self {
            dead: true,
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
    /// What the last attempt failed with, of the dead letters among the executions, in their order. A dead letter of a
    /// version that kept no such text has none.
    pub errors: Vec<(ExecutionId, ErrorText)>,
    /// The end of the page; `None` when this was the last page. Only the ledger that gave it can read it.
    pub next: Option<Cursor>,
}

impl Scanned {
    /// A page with these executions that ends at `next`.
    #[must_use]
    pub const fn new(completions: Vec<Completion>, next: Option<Cursor>) -> Self {
        Self {
            completions,
            errors: Vec::new(),
            next,
        }
    }

    /// Adds what the last attempts at these failed with.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<(ExecutionId, ErrorText)>) -> Self {
        self.errors = errors;
        self
    }
}
