//! What runs the statements of producers and the ledger.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use midplane_completions::BackendError;
use midplane_core::bus::Secrets;
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::error::{ConnectionError, ConnectionErrorKind, says};

/// Runs the statements of producers and the ledger of a [`PostgresStore`](crate::PostgresStore): a program's own pool, of
/// whatever driver.
///
/// A pool of the driver `tokio-postgres`, such as `deadpool-postgres`, passes each statement to a client of its own, which
/// implements this trait; a pool of another driver, such as `sqlx`, binds each [`StatementParameter`] and reads each
/// [`StatementRow`] by name. Starting and finishing, taking, renewing, settling, scanning, replaying and pruning are one
/// statement each, which needs nothing of a session: a pooler that gives each transaction another connection will do.
///
/// A pool cannot be used to [subscribe](crate::PostgresStore::backend), which listens for as long as the stream lives and needs a
/// [connection](crate::PostgresConnect) of its own, nor to [migrate](crate::PostgresStore::migrate), which is many statements in
/// one transaction.
///
/// ```
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use midplane_postgres::{PostgresStatements, StatementError, StatementParameter, StatementRow};
/// use tokio_postgres::Client;
///
/// /// Clients that tasks of the program drive.
/// #[derive(Debug)]
/// struct OwnPool(Vec<Arc<Client>>);
///
/// #[async_trait]
/// impl PostgresStatements for OwnPool {
///     async fn query(
///         &self,
///         statement: &str,
///         parameters: &[StatementParameter<'_>],
///     ) -> Result<Vec<Box<dyn StatementRow>>, StatementError> {
///         // A pool of `deadpool-postgres` gives one by `get`.
///         let client = &self.0[statement.len() % self.0.len()];
///         PostgresStatements::query(&**client, statement, parameters).await
///     }
/// }
/// ```
#[async_trait]
pub trait PostgresStatements: Send + Sync + fmt::Debug + 'static {
    /// The rows that one statement gives, in their order, in a transaction of its own that is `READ COMMITTED`. Parameters are
    /// of the types that they say. The future is dropped at the store's deadline; what was asked may then be done or not.
    ///
    /// # Errors
    /// When the server refuses the statement, or does not answer.
    async fn query(
        &self,
        statement: &str,
        parameters: &[StatementParameter<'_>],
    ) -> Result<Vec<Box<dyn StatementRow>>, StatementError>;
}

/// A parameter of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementParameter<'a> {
    /// `text`.
    Text(Option<&'a str>),
    /// `bytea`.
    Bytes(Option<&'a [u8]>),
    /// `bigint`.
    Number(i64),
    /// `boolean`.
    Truth(bool),
    /// `text[]`.
    Texts(&'a [&'a str]),
    /// `bigint[]`.
    Numbers(&'a [i64]),
}

/// A parameter as the driver takes it, with its type.
pub(super) type TypedParameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl StatementParameter<'_> {
    /// The parameter as the driver takes it.
    pub(super) fn typed(&self) -> TypedParameter<'_> {
        match self {
            Self::Text(text) => (text, Type::TEXT),
            Self::Bytes(bytes) => (bytes, Type::BYTEA),
            Self::Number(number) => (number, Type::INT8),
            Self::Truth(truth) => (truth, Type::BOOL),
            Self::Texts(texts) => (texts, Type::TEXT_ARRAY),
            Self::Numbers(numbers) => (numbers, Type::INT8_ARRAY),
        }
    }
}

/// A row that a statement gave. Each column is of one of these types, and is asked for by that; `None` stands for null.
pub trait StatementRow: Send + Sync {
    /// A column of the type `text`.
    fn text(&self, column: &str) -> Option<&str>;

    /// A column of the type `bytea`.
    fn bytes(&self, column: &str) -> Option<&[u8]>;

    /// A column of the type `bigint`.
    fn number(&self, column: &str) -> Option<i64>;

    /// A column of the type `boolean`.
    fn truth(&self, column: &str) -> Option<bool>;
}

impl StatementRow for Row {
    fn text(&self, column: &str) -> Option<&str> {
        self.get(column)
    }

    fn bytes(&self, column: &str) -> Option<&[u8]> {
        self.get(column)
    }

    fn number(&self, column: &str) -> Option<i64> {
        self.get(column)
    }

    fn truth(&self, column: &str) -> Option<bool> {
        self.get(column)
    }
}

/// Why a statement gave no rows. No secret is in its texts.
#[derive(Debug)]
pub enum StatementError {
    /// The server refused the statement, which changed nothing.
    Refused {
        /// The SQLSTATE, of five characters.
        code: String,
        /// What the server says.
        message: String,
        /// What the server says beside.
        detail: Option<String>,
    },
    /// There is no connection, or there was no answer: the statement may have been run.
    Lost(BackendError),
}

impl StatementError {
    /// The error for this one of the driver, or for a connection that is gone without one, without these secrets.
    pub(super) fn of(error: Option<tokio_postgres::Error>, secrets: &Secrets) -> Self {
        match error.as_ref().and_then(refusal) {
            Some(refusal) => Self::Refused {
                code: refusal.code().code().to_owned(),
                message: secrets.hide(refusal.message()),
                detail: refusal.detail().map(|detail| secrets.hide(detail)),
            },
            None => Self::Lost(ConnectionError::of(error).without(secrets).into()),
        }
    }
}

/// The server's refusal of a statement, if the error is one and the connection is usable.
fn refusal(error: &tokio_postgres::Error) -> Option<&DbError> {
    let error = error.as_db_error()?;
    (error.parsed_severity() == Some(Severity::Error)).then_some(error)
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { message, .. } => f.write_str(&says(message)),
            Self::Lost(error) => error.fmt(f),
        }
    }
}

impl Error for StatementError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused { .. } => None,
            Self::Lost(error) => error.source(),
        }
    }
}

impl From<tokio_postgres::Error> for StatementError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::of(Some(error), &Secrets::default())
    }
}

impl From<StatementError> for BackendError {
    fn from(error: StatementError) -> Self {
        match error {
            StatementError::Refused { code, message, .. } => {
                Self::new(ConnectionErrorKind::of_code(&code).into(), says(&message))
            }
            StatementError::Lost(error) => error,
        }
    }
}

/// Rows of the driver.
pub(super) fn boxed(rows: Vec<Row>) -> Vec<Box<dyn StatementRow>> {
    rows.into_iter()
        .map(|row| Box::new(row) as Box<dyn StatementRow>)
        .collect()
}

/// A client that something else drives, such as a pool's.
#[async_trait]
impl PostgresStatements for Client {
    async fn query(
        &self,
        statement: &str,
        parameters: &[StatementParameter<'_>],
    ) -> Result<Vec<Box<dyn StatementRow>>, StatementError> {
        let parameters: Vec<_> = parameters.iter().map(StatementParameter::typed).collect();
        Ok(boxed(self.query_typed(statement, &parameters).await?))
    }
}
