//! The connections that producers and ledgers share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use midplane_completions::BackendError;
use midplane_core::Timer;
use parking_lot::Mutex;
use tokio_postgres::Row;
use tokio_postgres::error::Severity;

use super::connection::{Failed, Parameter, StoreConnection};
use crate::error::{ConnectionError, ConnectionErrorKind};
use crate::url::Endpoint;

/// A few connections, opened when they are needed; a caller waits while all are in use, behind those who came before.
pub(crate) struct ConnectionPool {
    queue: Arc<Mutex<PoolQueue>>,
    deadline: Duration,
    timer: Arc<dyn Timer>,
}

/// What is free, or who waits for it: never both.
struct PoolQueue {
    /// Connections that nobody uses, and room for one where there is `None`.
    free: Vec<Option<StoreConnection>>,
    waiting: VecDeque<oneshot::Sender<PoolSlot>>,
}

/// The right to use one connection, which goes to the next caller when it is dropped.
struct PoolSlot {
    /// `None` where one is to be opened. While a connection is out of its slot, a caller that is dropped closes it.
    connection: Option<StoreConnection>,
    queue: Arc<Mutex<PoolQueue>>,
    /// Whether the slot was given on.
    passed: bool,
}

impl PoolSlot {
    fn new(connection: Option<StoreConnection>, queue: &Arc<Mutex<PoolQueue>>) -> Self {
        Self {
            connection,
            queue: Arc::clone(queue),
            passed: false,
        }
    }
}

impl Drop for PoolSlot {
    fn drop(&mut self) {
        if self.passed {
            return;
        }
        let mut slot = Self::new(self.connection.take(), &self.queue);
        loop {
            let mut queue = self.queue.lock();
            let Some(next) = queue.waiting.pop_front() else {
                slot.passed = true;
                let connection = slot.connection.take();
                return queue.free.push(connection);
            };
            drop(queue);
            // One that gave up waiting gives the slot back.
            match next.send(slot) {
                Ok(()) => return,
                Err(refused) => slot = refused,
            }
        }
    }
}

/// Why a statement gave no rows.
pub(crate) enum QueryError {
    /// The server refused the statement.
    Refused(Failed),
    /// There is no connection, or there was no answer.
    Lost(ConnectionError),
}

impl From<QueryError> for BackendError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Refused(failed) => ConnectionError::from(failed).into(),
            QueryError::Lost(error) => error.into(),
        }
    }
}

impl ConnectionPool {
    pub(crate) fn new(most: usize, deadline: Duration, timer: Arc<dyn Timer>) -> Self {
        Self {
            queue: Arc::new(Mutex::new(PoolQueue {
                free: (0..most.max(1)).map(|_| None).collect(),
                waiting: VecDeque::new(),
            })),
            deadline,
            timer,
        }
    }

    /// The rows that a statement gives, within the deadline.
    pub(crate) async fn query(
        &self,
        endpoint: &Endpoint,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, QueryError> {
        let answer = self.ask(endpoint, statement, parameters);
        let answer = self.timer.within(self.deadline, answer).await;
        answer.unwrap_or_else(|| {
            let message = format!(
                "the Postgres server did not answer within {:?}",
                self.deadline
            );
            Err(QueryError::Lost(ConnectionError::new(
                ConnectionErrorKind::Unreachable,
                message,
            )))
        })
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, QueryError> {
        let mut slot = self.slot().await;
        let mut kept = slot.connection.take();
        let mut connection = match kept.take_if(StoreConnection::lives) {
            Some(connection) => connection,
            None => StoreConnection::open(endpoint)
                .await
                .map_err(QueryError::Lost)?,
        };
        match connection.query(statement, parameters).await {
            Ok(rows) => {
                slot.connection = Some(connection);
                Ok(rows)
            }
            Err(failed) if failed.error.as_ref().is_some_and(is_refusal) => {
                slot.connection = Some(connection);
                Err(QueryError::Refused(failed))
            }
            Err(failed) => Err(QueryError::Lost(failed.into())),
        }
    }

    /// A slot: a free one, the one that was used last before the others, or the first that is given on to this caller.
    async fn slot(&self) -> PoolSlot {
        let given = {
            let mut queue = self.queue.lock();
            if let Some(connection) = queue.free.pop() {
                return PoolSlot::new(connection, &self.queue);
            }
            let (next, given) = oneshot::channel();
            queue.waiting.push_back(next);
            given
        };
        match given.await {
            Ok(slot) => slot,
            // The pool outlives its callers, and a sender is only dropped when it has sent.
            Err(oneshot::Canceled) => PoolSlot::new(None, &self.queue),
        }
    }
}

/// Whether the server refused the statement and the connection is usable.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let severity = error
        .as_db_error()
        .and_then(tokio_postgres::error::DbError::parsed_severity);
    severity == Some(Severity::Error)
}
