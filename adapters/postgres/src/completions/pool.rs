//! The connections that producers and ledgers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::lock::{Mutex, MutexGuard};
use midplane_completions::BackendError;
use midplane_core::Timer;
use tokio_postgres::Row;
use tokio_postgres::error::Severity;

use super::connection::{Failed, Parameter, StoreConnection};
use crate::error::{ConnectionError, ConnectionErrorKind};
use crate::url::Endpoint;

/// A few connections, opened when they are needed; a caller waits while all are in use.
pub(crate) struct ConnectionPool {
    slots: Box<[Mutex<Option<StoreConnection>>]>,
    next: AtomicUsize,
    deadline: Duration,
    timer: Arc<dyn Timer>,
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
            slots: (0..most.max(1)).map(|_| Mutex::new(None)).collect(),
            next: AtomicUsize::new(0),
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
        // While the connection is out of its slot, a caller that is dropped closes it.
        let mut kept = slot.take();
        let mut connection = match kept.take_if(StoreConnection::lives) {
            Some(connection) => connection,
            None => StoreConnection::open(endpoint)
                .await
                .map_err(QueryError::Lost)?,
        };
        match connection.query(statement, parameters).await {
            Ok(rows) => {
                *slot = Some(connection);
                Ok(rows)
            }
            Err(failed) if failed.error.as_ref().is_some_and(is_refusal) => {
                *slot = Some(connection);
                Err(QueryError::Refused(failed))
            }
            Err(failed) => Err(QueryError::Lost(failed.into())),
        }
    }

    /// The first slot that is free, or one in turn.
    async fn slot(&self) -> MutexGuard<'_, Option<StoreConnection>> {
        match self.slots.iter().find_map(Mutex::try_lock) {
            Some(slot) => slot,
            None => {
                let turn = self.next.fetch_add(1, Ordering::Relaxed);
                self.slots[turn % self.slots.len()].lock().await
            }
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
