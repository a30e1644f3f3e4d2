//! One connection, driven by whoever waits for it.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::driver::DriverConnection;
use crate::error::ConnectionError;
use crate::login;
use crate::url::Endpoint;

/// The history can only be read so, see its migration; some databases default to another level.
const SET_UP: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// What a statement is given.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection. Dropping it closes it, whatever it was at.
pub(crate) struct Line {
    client: Client,
    connection: Box<dyn DriverConnection>,
    woken: bool,
}

impl Line {
    /// One attempt to open it.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, ConnectionError> {
        let (client, connection) = login::open(endpoint, SET_UP).await?;
        Ok(Self {
            client,
            connection,
            woken: false,
        })
    }

    /// The rows that a statement gives. Where the error is the server's answer, the line lives; a future that was
    /// dropped leaves it in the middle of something.
    pub(crate) async fn query(
        &mut self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Option<tokio_postgres::Error>> {
        let call = self.client.query_typed(statement, parameters);
        login::drive(&mut *self.connection, &mut self.woken, call).await
    }

    /// Runs several statements.
    pub(crate) async fn run(&mut self, statements: &str) -> Result<(), ConnectionError> {
        let call = self.client.batch_execute(statements);
        login::drive(&mut *self.connection, &mut self.woken, call)
            .await
            .map_err(ConnectionError::of)
    }

    /// Whether the server has not ended it meanwhile, as far as is known here.
    pub(crate) fn lives(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        login::turn(&mut *self.connection, &mut self.woken, &mut cx).is_pending()
    }

    /// From here on, notifications count anew.
    pub(crate) fn forget_wakes(&mut self) {
        self.woken = false;
    }

    /// Resolves when a notification came since they were forgotten. It may be dropped at any time.
    pub(crate) async fn woken(&mut self) -> Result<(), ConnectionError> {
        poll_fn(|cx| {
            let over = login::turn(&mut *self.connection, &mut self.woken, cx);
            match over {
                _ if self.woken => Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(ConnectionError::of(error))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}
