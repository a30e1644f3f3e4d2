//! What a fault of a connection means to a store.

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
    fn from(fault: ConnectionError) -> Self {
        let error = Self::new(fault.kind.into(), fault.message);
        match fault.source {
            Some(source) => error.caused_by(source),
            None => error,
        }
    }
}
