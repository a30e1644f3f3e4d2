//! What a store gives to the checks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use midplane::completions::{
    CompletionBackend, ExecutionId, Groups, Ledger, Outcome, ProduceError, Producer,
};

/// A store of completions under test.
///
/// Each test starts a store of its own, which is empty. Backend, producer and ledger are on the same data.
/// The methods that are not `async` may block.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// The backend, whose connections [`cut`](Self::cut) cuts and [`connections`](Self::connections) counts.
    /// The backend should poll, and try again, a few times a second, so that checks of that end soon.
    fn backend(&self) -> Arc<dyn CompletionBackend>;

    /// The producer, which works whether or not the connections of the backend are cut.
    fn producer(&self) -> Arc<dyn Producer>;

    /// The ledger, which works whether or not the connections of the backend are cut.
    fn ledger(&self) -> Arc<dyn Ledger>;

    /// The groups of the store, which work whether or not the connections of the backend are cut. `None` where the ledger is
    /// of one group alone.
    fn groups(&self) -> Option<Arc<dyn Groups>> {
        None
    }

    /// Begins a transaction as soon as the store answers; `None` where the store has no transactions.
    async fn begin(&self) -> Option<Box<dyn Transaction>>;

    /// Ends every connection of the backend, and refuses new ones until [`heal`](Self::heal).
    fn cut(&self);

    /// Undoes a [`cut`](Self::cut): connecting works once the call has returned.
    fn heal(&self);

    /// How many connections of the backend are open.
    fn connections(&self) -> usize;

    /// Drops the whole history, as retention does after a long time: cursors from before the last completion
    /// are expired from now on.
    async fn expire_history(&self);

    /// Drops the history that is older than this, as retention by time does, and the executions in it that every group has
    /// handled, or keeps no longer.
    async fn prune(&self, age: Duration);

    /// Puts a record into the history that is no completion.
    async fn poison(&self);

    /// A backend with wrong credentials for the same store, and the secrets that no message of it may hold.
    /// `None` where the store knows no credentials.
    fn intruder(&self) -> Option<(Arc<dyn CompletionBackend>, Vec<String>)> {
        None
    }

    /// A backend on a server without the tables or functions of completions. `None` where nothing has to be
    /// installed.
    fn bare(&self) -> Option<Arc<dyn CompletionBackend>> {
        None
    }
}

/// Executions that finish together or not at all. Dropping the transaction rolls it back, sooner or later.
#[async_trait]
pub trait Transaction: Send {
    /// Finishes an execution inside the transaction.
    async fn finish(
        &mut self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<(), ProduceError>;

    /// Commits the transaction.
    async fn commit(self: Box<Self>) -> Result<(), ProduceError>;

    /// Undoes everything, and resolves when that is done or the store is gone.
    async fn rollback(self: Box<Self>);
}
