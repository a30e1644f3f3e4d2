//! What is done about a completion: the seam that the program implements.

use alloc::boxed::Box;
use core::error::Error;

use async_trait::async_trait;

use super::Completion;

/// The program's part: what a completion means to it.
///
/// It should be idempotent. A [`Listener`](super::Listener) makes it rare that one execution is handled
/// twice and cannot rule it out: whoever dies between the work and the note of it leaves the work to be
/// done again.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Does what there is to do. It runs as part of the listener's one task, so long computations belong
    /// elsewhere, and it is dropped when its lease is over.
    ///
    /// # Errors
    /// When it could not be done. It is counted and dropped, and tried again after a pause: report it here,
    /// where it is known what it means.
    async fn handle(
        &self,
        completion: &Completion,
    ) -> Result<Handled, Box<dyn Error + Send + Sync>>;
}

const _: fn(&dyn Handler) = |_| ();

/// What a handler did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// Its work.
    Done,
    /// Nothing, since there was nothing left to do.
    NoOp,
}
