//! The driver's errors, before it is known what the connection was for: a bus, or a store.

use std::error::Error as _;

use midplane_core::bus::{BusError, BusErrorKind, End, Secrets};
use tokio_postgres::Error;

/// The message where a connection ends without a reason.
pub(crate) const LOST: &str = "the connection to the Postgres server is gone";

/// Why there is no connection, or no answer. Its text holds no secret.
#[derive(Debug)]
pub(crate) struct ConnectionError {
    pub(crate) kind: ConnectionErrorKind,
    pub(crate) message: String,
    pub(crate) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionErrorKind {
    Unreachable,
    Denied,
    /// A schema, a table, a function or a group that is not there.
    Missing,
    Protocol,
}

impl ConnectionError {
    pub(crate) fn new(kind: ConnectionErrorKind, message: String) -> Self {
        Self {
            kind,
            message,
            source: None,
        }
    }

    /// The error for this one of the driver, or for a connection that is gone without one.
    pub(crate) fn of(error: Option<Error>) -> Self {
        match error {
            Some(error) => {
                Self::new(ConnectionErrorKind::of(&error), text(&error)).caused_by(error)
            }
            None => Self::new(ConnectionErrorKind::Unreachable, String::from(LOST)),
        }
    }

    /// Hides these secrets in the texts of the error.
    pub(crate) fn without(mut self, secrets: &Secrets) -> Self {
        self.message = secrets.hide(&self.message);
        self.source = self.source.map(|source| secrets.hide_in(source));
        self
    }

    pub(crate) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl ConnectionErrorKind {
    pub(crate) fn of(error: &Error) -> Self {
        match error.code() {
            Some(code) => Self::of_code(code.code()),
            // The driver's own: only the text shows which are about logging in.
            None => {
                let text = cause(error);
                if text.contains("authentication") || text.contains("password") {
                    Self::Denied
                } else {
                    Self::Unreachable
                }
            }
        }
    }

    /// Codes are of <https://www.postgresql.org/docs/current/errcodes-appendix.html>; the first two characters
    /// are the class.
    pub(crate) fn of_code(code: &str) -> Self {
        match code {
            "42501" => Self::Denied,
            "3F000" | "42P01" | "42883" | "MP006" => Self::Missing,
            code if code.starts_with("28") => Self::Denied,
            // A lock that was not had in time.
            "55P03" => Self::Unreachable,
            // Lost connections, wrong database, resources and limits, shutdowns and the system's own errors.
            code if ["08", "3D", "53", "54", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class)) =>
            {
                Self::Unreachable
            }
            _ => Self::Protocol,
        }
    }
}

/// The message for what the server says.
pub(crate) fn says(message: &str) -> String {
    format!("the Postgres server says: {message}")
}

impl From<ConnectionErrorKind> for BusErrorKind {
    fn from(kind: ConnectionErrorKind) -> Self {
        match kind {
            ConnectionErrorKind::Unreachable => Self::Unreachable,
            ConnectionErrorKind::Denied => Self::Denied,
            ConnectionErrorKind::Missing | ConnectionErrorKind::Protocol => Self::Protocol,
        }
    }
}

impl From<ConnectionError> for BusError {
    fn from(error: ConnectionError) -> Self {
        let (kind, message) = (error.kind.into(), error.message);
        match error.source {
            Some(source) => Self::new(kind, message).caused_by(source),
            None => Self::new(kind, message),
        }
    }
}

/// The message for an error of the driver, as the server or the driver says it.
pub(crate) fn text(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => says(error.message()),
        None => format!(
            "the connection to the Postgres server failed: {}",
            cause(error)
        ),
    }
}

/// What an error of the driver is, and why.
pub(crate) fn cause(error: &Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The end of a link whose connection is gone without a reason.
pub(crate) fn lost() -> End {
    End::Failed(BusErrorKind::Unreachable, String::from(LOST))
}

/// The end of a link whose connection failed with this error, without these secrets.
pub(crate) fn failed(error: &Error, secrets: &Secrets) -> End {
    let text = secrets.hide(&text(error));
    End::Failed(ConnectionErrorKind::of(error).into(), text)
}
