//! Errors of a connection, in the terms of a store.

use midplane_completions::{BackendError, BackendErrorKind};

use crate::error::{ConnectionError, ConnectionErrorKind};

impl From<ConnectionErrorKind> for BackendErrorKind {
    fn from(kind: ConnectionErrorKind) -> Self {
        match kind {
            ConnectionErrorKind::Unreachable => Self::Unreachable,
            ConnectionErrorKind::Denied => Self::Denied,
            ConnectionErrorKind::Missing => Self::NotInstalled,
            ConnectionErrorKind::Protocol => Self::Protocol,
        }
    }
}

impl From<ConnectionError> for BackendError {
    fn from(error: ConnectionError) -> Self {
        let failed = Self::new(error.kind.into(), error.message);
        match error.source {
            Some(source) => failed.caused_by(source),
            None => failed,
        }
    }
}
