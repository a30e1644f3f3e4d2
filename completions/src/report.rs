//! What a listener reports: its counters and status, what it did until a request was met, and what closing left.

use alloc::string::String;
use alloc::vec::Vec;

use crate::BackendErrorKind;
use crate::notice::ListenerPart;

/// What a listener received and did since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerCounters {
    /// Completions that the stream yielded.
    pub streamed: u64,
    /// Executions that were taken from the ledger.
    pub taken: u64,
    /// Calls that took executions.
    pub fruitful: u64,
    /// Calls that found nothing to take.
    pub vain: u64,
    /// Executions that were taken though this listener had handled them, since the store did not take the record.
    pub repeated: u64,
    /// Handlers that did their work.
    pub done: u64,
    /// Handlers that had nothing to do.
    pub no_op: u64,
    /// Handlers that failed.
    pub failed: u64,
    /// Handlers that panicked.
    pub panicked: u64,
    /// Handlers that were dropped because they took longer than they may.
    pub late: u64,
    /// Executions that became dead letters.
    pub dead: u64,
    /// Executions whose claim was lost: the store was away for as long as a lease holds.
    pub lost: u64,
    /// Executions that were claimed, not begun, and given back.
    pub returned: u64,
    /// Calls of the ledger that the store did not answer, or refused.
    pub unanswered: u64,
    /// Subscriptions that were confirmed, the first one included.
    pub subscribed: u64,
    /// Attempts to subscribe that failed.
    pub unsubscribed: u64,
    /// Completions that the stream reported as lost.
    pub lagged: u64,
    /// Records in the history that are no completions.
    pub poison: u64,
}

impl ListenerCounters {
    /// What was done between the counters `before` and these.
    pub(crate) fn since(&self, before: &Self) -> Reconciled {
        Reconciled {
            taken: self.taken - before.taken,
            done: self.done - before.done,
            no_op: self.no_op - before.no_op,
            failed: (self.failed + self.panicked + self.late)
                - (before.failed + before.panicked + before.late),
        }
    }
}

/// The state of a listener, for its operators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerStatus {
    /// Handlers that run.
    pub running: usize,
    /// Claimed completions that wait for a handler, or for the one before in their flow.
    pub waiting: usize,
    /// Claims that are held: of what runs and waits, and of what is not yet recorded.
    pub claimed: usize,
    /// What does not work just now; nothing where all is well.
    pub troubles: Vec<ListenerTrouble>,
    /// What was received and done since the start.
    pub counters: ListenerCounters,
}

/// A part of a listener that does not work, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerTrouble {
    /// The part.
    pub part: ListenerPart,
    /// The kind of the reason.
    pub kind: BackendErrorKind,
    /// The reason, with its causes. No secret is in it.
    pub text: String,
}

/// What a listener did between a request and the moment in which nothing was left to take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconciled {
    /// Executions that were taken from the ledger.
    pub taken: u64,
    /// Handlers that did their work.
    pub done: u64,
    /// Handlers that had nothing to do.
    pub no_op: u64,
    /// Handlers that failed, panicked or took too long.
    pub failed: u64,
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
    /// Completions that were claimed and not begun, and were given back.
    pub returned: u64,
}
