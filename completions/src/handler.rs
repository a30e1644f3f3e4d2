//! The seam that the program implements: what a completion has it do.

use alloc::boxed::Box;
use core::error::Error;

use async_trait::async_trait;

use crate::Completion;
use crate::ledger::Claim;

/// What the program does with a completion.
///
/// A handler should be idempotent, or commit its effect together with the record that the execution is handled, and say
/// [`Handled::Recorded`]. A [`Listener`](crate::Listener) makes it rare that one execution is
/// handled twice and cannot rule it out: a process that dies between the work and the record of it leaves
/// the work to be done again.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Does the work. The call is dropped when it takes longer than the listener's
    /// [`patience`](crate::ListenerSettings::patience), and when its claim is lost. It runs as part of the listener's one
    /// task, where a call that blocks its thread holds up all others, unless the listener has a
    /// [runtime](crate::Listener::with_runtime) for it.
    ///
    /// # Errors
    /// When the work could not be done. The listener counts the error and calls again after a pause. The text of the error
    /// of the last attempt is kept with the dead letter, [bounded](crate::ErrorText); those before are dropped: log them in the
    /// handler, which knows what they mean.
    async fn handle(
        &self,
        completion: &Completion,
        attempt: &Attempt,
    ) -> Result<Handled, Box<dyn Error + Send + Sync>>;
}

const _: fn(&dyn Handler) = |_| ();

/// One call of a handler for an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The claim under which the work is done, for a transaction of the handler's own that records it as handled.
    pub claim: Claim,
    /// The number of the attempt, from 1: failures before this one are counted by the store.
    pub number: u32,
    /// The number of the last attempt, where there is a last one: the execution is a dead letter if that fails.
    pub most: Option<u32>,
}

impl Attempt {
    /// The attempt under this claim, where attempts have this bound.
    #[must_use]
    pub fn new(claim: Claim, most: Option<u32>) -> Self {
        Self {
            number: claim.failures.saturating_add(1),
            claim,
            most,
        }
    }

    /// Whether no other attempt follows a failure of this one.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.most.is_some_and(|most| self.number >= most)
    }
}

/// What a handler did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The handler did its work.
    Done,
    /// There was nothing left to do.
    NoOp,
    /// The handler did its work, and recorded it as handled in the store itself, in one transaction.
    Recorded,
}
