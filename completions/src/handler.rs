//! The seam that the program implements: what a completion has it do.

use alloc::boxed::Box;
use core::error::Error;

use async_trait::async_trait;

use crate::Completion;

/// What the program does with a completion.
///
/// A handler should be idempotent. A [`Listener`](crate::Listener) makes it rare that one execution is
/// handled twice and cannot rule it out: a process that dies between the work and the record of it leaves
/// the work to be done again.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Does the work. The call runs as part of the listener's one task, so long computations belong
    /// elsewhere, and is dropped when its lease ends.
    ///
    /// # Errors
    /// When the work could not be done. The listener counts and drops the error, and calls again after a
    /// pause: log the error in the handler, which knows what it means.
    async fn handle(
        &self,
        completion: &Completion,
    ) -> Result<Handled, Box<dyn Error + Send + Sync>>;
}

const _: fn(&dyn Handler) = |_| ();

/// What a handler did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The handler did its work.
    Done,
    /// There was nothing left to do.
    NoOp,
}
