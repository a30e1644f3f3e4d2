//! One connection, driven by the caller that waits for it.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use midplane_completions::BackendError;
use midplane_core::bus::Secrets;
use tokio_postgres::{Client, Row};

use super::connect::{PostgresConnect, PostgresConnection};
use super::statements::{StatementError, TypedParameter};
use crate::driver::DriverConnection;
use crate::error::ConnectionError;
use crate::login;

/// The isolation level that reading the history needs, see its migration; some databases default to another.
const SET_UP: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// A connection to the database of the store. Dropping it closes it, also in the middle of a statement.
pub(crate) struct StoreConnection {
    client: Client,
    driver: Box<dyn DriverConnection>,
    /// What no text of the server may show.
    secrets: Secrets,
    woken: bool,
}

/// Why a statement gave no rows: the driver's error, which is missing where the connection is gone without a reason.
pub(crate) struct Failed {
    error: Option<tokio_postgres::Error>,
    secrets: Secrets,
}

impl From<Failed> for ConnectionError {
    fn from(failed: Failed) -> Self {
        Self::of(failed.error).without(&failed.secrets)
    }
}

impl From<Failed> for StatementError {
    fn from(failed: Failed) -> Self {
        Self::of(failed.error, &failed.secrets)
    }
}

impl StoreConnection {
    /// Opens a connection, in one attempt.
    pub(crate) async fn open(connect: &dyn PostgresConnect) -> Result<Self, BackendError> {
        let PostgresConnection {
            client,
            driver,
            secrets,
        } = connect.connect().await?;
        let mut connection = Self {
            client,
            driver,
            secrets,
            woken: false,
        };
        connection.run(SET_UP).await?;
        Ok(connection)
    }

    /// The rows that a statement gives. Where the error is the server's answer, the connection lives; a future that
    /// was dropped leaves the connection in the middle of a statement.
    pub(crate) async fn query(
        &mut self,
        statement: &str,
        parameters: &[TypedParameter<'_>],
    ) -> Result<Vec<Row>, Failed> {
        let call = self.client.query_typed(statement, parameters);
        let answer = login::drive(&mut *self.driver, &mut self.woken, call).await;
        answer.map_err(|error| Failed {
            error,
            secrets: self.secrets.clone(),
        })
    }

    /// Runs several statements.
    pub(crate) async fn run(&mut self, statements: &str) -> Result<(), ConnectionError> {
        let call = self.client.batch_execute(statements);
        login::drive(&mut *self.driver, &mut self.woken, call)
            .await
            .map_err(|error| ConnectionError::of(error).without(&self.secrets))
    }

    /// Whether the connection is open, as far as this side knows.
    pub(crate) fn lives(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        login::turn(&mut *self.driver, &mut self.woken, &mut cx).is_pending()
    }

    /// Forgets the notifications that came.
    pub(crate) fn forget_wakes(&mut self) {
        self.woken = false;
    }

    /// Resolves when a notification came since the last were forgotten. The future may be dropped at any time.
    pub(crate) async fn woken(&mut self) -> Result<(), ConnectionError> {
        poll_fn(|cx| {
            let over = login::turn(&mut *self.driver, &mut self.woken, cx);
            match over {
                _ if self.woken => Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => {
                    Poll::Ready(Err(ConnectionError::of(error).without(&self.secrets)))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}
