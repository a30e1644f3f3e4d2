//! Errors of a connection, in the terms of a store.

use midplane_completions::{BackendError, BackendErrorKind};
use midplane_core::bus::BusErrorKind;
use redis::RedisError;

use super::library;
use crate::error::ErrorContext;

/// The kind of an error of the bus, in the terms of a store.
pub(super) fn kind(kind: BusErrorKind) -> BackendErrorKind {
    match kind {
        BusErrorKind::Denied => BackendErrorKind::Denied,
        BusErrorKind::Protocol => BackendErrorKind::Protocol,
        _ => BackendErrorKind::Unreachable,
    }
}

/// The error of a call, in the terms of a store.
pub(super) fn failure(context: &ErrorContext, what: &str, error: RedisError) -> BackendError {
    let address = &context.address;
    match error.code() {
        Some(library::NO_STORE) => BackendError::new(
            BackendErrorKind::NotInstalled,
            format!("redis at {address} holds no store of completions with this prefix: call `install` once"),
        ),
        Some(library::OTHER_VERSION) => BackendError::new(
            BackendErrorKind::NotInstalled,
            format!("the store of completions of redis at {address} is of another version than this program"),
        )
        .caused_by(error),
        Some(library::UNKNOWN_GROUP) => BackendError::new(
            BackendErrorKind::NotInstalled,
            format!(
                "the store of completions of redis at {address} has no group of this name, or the one without a name was \
                 removed: cannot {what}"
            ),
        ),
        Some("OOM") => BackendError::new(
            BackendErrorKind::Unreachable,
            format!(
                "redis at {address} is full (maxmemory) and cannot {what}: what is handled or trimmed makes room"
            ),
        )
        .caused_by(error),
        _ if is_missing(&error) => BackendError::new(
            BackendErrorKind::NotInstalled,
            format!("redis at {address} has no functions for completions of this version: call `install` once"),
        ),
        _ => {
            let (told, message, source) = context.explain(what, error);
            BackendError::new(kind(told), message).caused_by(source)
        }
    }
}

/// Whether the functions of this version are not in the server.
pub(super) fn is_missing(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.starts_with("Function not found"))
}

/// The error of an answer that no function of this version gives.
pub(super) fn unexpected_answer(function: &str) -> BackendError {
    BackendError::new(
        BackendErrorKind::Protocol,
        format!(
            "redis gave an unexpected answer to the function {function} of completions: was another library \
             loaded under its name?"
        ),
    )
}
