//! The connections that producers and ledgers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::lock::{Mutex, MutexGuard};
use midplane_completions::BackendError;
use midplane_core::Timer;
use tokio_postgres::Row;
use tokio_postgres::error::Severity;

use super::line::{Line, Parameter};
use crate::error::{ConnectionError, ConnectionErrorKind};
use crate::url::Endpoint;

/// A few connections, opened when they are needed; who asks for one while all are in use waits.
pub(crate) struct Lines {
    slots: Box<[Mutex<Option<Line>>]>,
    next: AtomicUsize,
    deadline: Duration,
    timer: Arc<dyn Timer>,
}

/// What came of a statement that gave no rows.
pub(crate) enum Failure {
    /// The server refused it.
    Refused(tokio_postgres::Error),
    /// There is no connection, or there was no answer.
    Lost(ConnectionError),
}

impl From<Failure> for BackendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => ConnectionError::of(Some(error)).into(),
            Failure::Lost(fault) => fault.into(),
        }
    }
}

impl Lines {
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
    ) -> Result<Vec<Row>, Failure> {
        let answer = self.ask(endpoint, statement, parameters);
        let answer = self.timer.within(self.deadline, answer).await;
        answer.unwrap_or_else(|| {
            let message = format!(
                "the Postgres server did not answer within {:?}",
                self.deadline
            );
            Err(Failure::Lost(ConnectionError::new(
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
    ) -> Result<Vec<Row>, Failure> {
        let mut slot = self.slot().await;
        // While it is out of its slot, a caller that goes away closes it.
        let mut kept = slot.take();
        let mut line = match kept.take_if(Line::lives) {
            Some(line) => line,
            None => Line::open(endpoint).await.map_err(Failure::Lost)?,
        };
        match line.query(statement, parameters).await {
            Ok(rows) => {
                *slot = Some(line);
                Ok(rows)
            }
            Err(Some(error)) if is_refusal(&error) => {
                *slot = Some(line);
                Err(Failure::Refused(error))
            }
            Err(error) => Err(Failure::Lost(ConnectionError::of(error))),
        }
    }

    /// The first that is free, or one in turn.
    async fn slot(&self) -> MutexGuard<'_, Option<Line>> {
        match self.slots.iter().find_map(Mutex::try_lock) {
            Some(slot) => slot,
            None => {
                let turn = self.next.fetch_add(1, Ordering::Relaxed);
                self.slots[turn % self.slots.len()].lock().await
            }
        }
    }
}

/// Whether the server answered, and goes on.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let severity = error
        .as_db_error()
        .and_then(tokio_postgres::error::DbError::parsed_severity);
    severity == Some(Severity::Error)
}
