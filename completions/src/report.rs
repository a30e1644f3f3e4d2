//! What a listener reports: its counters, the report of a walk, and what closing left.

/// What a listener received and did since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerCounters {
    /// Completions that the stream yielded.
    pub streamed: u64,
    /// Completions from the stream or a walk that were in work or handled by this listener already.
    pub repeated: u64,
    /// Completions that other listeners had claimed or handled.
    pub taken: u64,
    /// Handlers that did their work.
    pub done: u64,
    /// Handlers that had nothing to do.
    pub no_op: u64,
    /// Handlers that failed.
    pub failed: u64,
    /// Handlers that panicked.
    pub panicked: u64,
    /// Handlers that were dropped because their lease ended, and claims that ended while they waited.
    pub late: u64,
    /// Calls to claim that the store did not answer. The completions are left to the reconciler.
    pub unclaimed: u64,
    /// Calls to settle that the store did not answer. The claims end by time.
    pub unsettled: u64,
    /// Subscriptions that were confirmed, the first one included.
    pub subscribed: u64,
    /// Attempts to subscribe that failed.
    pub unsubscribed: u64,
    /// Completions that the stream reported as lost.
    pub lagged: u64,
    /// Records in the history that are no completions.
    pub poison: u64,
    /// Walks of the reconciler that ended.
    pub walks: u64,
    /// The sum of the reports of those walks.
    pub reconciled: WalkReport,
}

impl ListenerCounters {
    pub(crate) fn end_walk(&mut self, report: &WalkReport) {
        self.walks += 1;
        self.reconciled.scanned += report.scanned;
        self.reconciled.reconciled += report.reconciled;
        self.reconciled.no_op += report.no_op;
        self.reconciled.filtered += report.filtered;
        self.reconciled.errors += report.errors;
    }
}

/// What a walk of the reconciler found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalkReport {
    /// Executions that the ledger returned.
    pub scanned: u64,
    /// Executions whose handler had work to do, and did it.
    pub reconciled: u64,
    /// Executions with nothing to do: the handler said so, another listener had claimed them, or this
    /// listener had handled them before.
    pub no_op: u64,
    /// Executions that the filter leaves out.
    pub filtered: u64,
    /// Executions whose handler failed, and calls of the ledger that failed.
    pub errors: u64,
}

/// What became of the work when a listener was closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Handlers that ended within the deadline.
    pub finished: u64,
    /// Handlers that were still running at the deadline, and were dropped. Their executions can be claimed
    /// again when the leases end.
    pub abandoned: u64,
    /// Completions that were claimed and not begun, and were released.
    pub returned: u64,
}
