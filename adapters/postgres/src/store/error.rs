//! What a fault of a connection means to a store.

use midplane_completions::{BackendError, BackendErrorKind};

use crate::fault::{Fault, FaultKind};

impl From<FaultKind> for BackendErrorKind {
    fn from(kind: FaultKind) -> Self {
        match kind {
            FaultKind::Unreachable => Self::Unreachable,
            FaultKind::Denied => Self::Denied,
            FaultKind::Missing => Self::NotInstalled,
            FaultKind::Protocol => Self::Protocol,
        }
    }
}

impl From<Fault> for BackendError {
    fn from(fault: Fault) -> Self {
        let error = Self::new(fault.kind.into(), fault.message);
        match fault.source {
            Some(source) => error.caused_by(source),
            None => error,
        }
    }
}
