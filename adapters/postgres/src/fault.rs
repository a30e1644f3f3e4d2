//! What goes wrong on a connection, before it is known what the connection was for.

use midplane_core::bus::{BusError, BusErrorKind};
use tokio_postgres::Error;

/// What is said when a connection ends without a reason.
pub(crate) const LOST: &str = "the connection to the Postgres server is gone";

/// Why there is no connection, or no answer. Its text holds no secret.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
    pub(crate) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Unreachable,
    Denied,
    /// A schema, a table or a function that is not there.
    Missing,
    Protocol,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, message: String) -> Self {
        Self {
            kind,
            message,
            source: None,
        }
    }

    /// What an error of the driver means, or that the connection is gone without one.
    pub(crate) fn of(error: Option<Error>) -> Self {
        match error {
            Some(error) => Self::new(FaultKind::of(&error), text(&error)).caused_by(error),
            None => Self::new(FaultKind::Unreachable, String::from(LOST)),
        }
    }

    pub(crate) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl FaultKind {
    /// Codes are of <https://www.postgresql.org/docs/current/errcodes-appendix.html>; the first two characters
    /// are the class.
    pub(crate) fn of(error: &Error) -> Self {
        match error.code().map(|code| code.code()) {
            Some("42501") => Self::Denied,
            Some("3F000" | "42P01" | "42883") => Self::Missing,
            Some(code) if code.starts_with("28") => Self::Denied,
            // Lost connections, wrong database, resources and limits, shutdowns and the system's own errors.
            Some(code) if ["08", "3D", "53", "54", "57", "58"].contains(&&code[..2]) => {
                Self::Unreachable
            }
            Some(_) => Self::Protocol,
            // The driver's own: only the text tells those of logging in.
            None => {
                let text = error.to_string();
                if text.contains("authentication") || text.contains("password") {
                    Self::Denied
                } else {
                    Self::Unreachable
                }
            }
        }
    }
}

impl From<FaultKind> for BusErrorKind {
    fn from(kind: FaultKind) -> Self {
        match kind {
            FaultKind::Unreachable => Self::Unreachable,
            FaultKind::Denied => Self::Denied,
            FaultKind::Missing | FaultKind::Protocol => Self::Protocol,
        }
    }
}

impl From<Fault> for BusError {
    fn from(fault: Fault) -> Self {
        let error = Self::new(fault.kind.into(), fault.message);
        match fault.source {
            Some(source) => error.caused_by(source),
            None => error,
        }
    }
}

/// What an error of the driver says. The server's texts hold no secrets.
pub(crate) fn text(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("the Postgres server says: {}", error.message()),
        None => format!("the connection to the Postgres server failed: {error}"),
    }
}
