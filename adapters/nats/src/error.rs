//! The driver's errors as those of a bus, without secrets.

use std::error::Error;

use async_nats::{ConnectError, ConnectErrorKind, ServerError};
use midplane_core::bus::{BusError, BusErrorKind, End, Secrets};

use crate::settings::Nats;

/// The end of a link whose connection is gone.
pub(crate) fn lost() -> End {
    End::Failed(
        BusErrorKind::Unreachable,
        String::from("the connection to the NATS server is gone"),
    )
}

/// Whether the link is over because the server takes no more subscriptions of it.
pub(crate) fn is_full(end: &End) -> bool {
    matches!(end, End::Failed(_, text) if text.contains("maximum subscriptions"))
}

/// The end of a link whose server reports this error, without these secrets.
pub(crate) fn server_error(error: &ServerError, secrets: &Secrets) -> End {
    let text = secrets.hide(&error.to_string());
    let lower = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let kind = if says(&["authorization", "authentication", "permissions"]) {
        BusErrorKind::Denied
    } else if says(&["slow consumer"]) {
        BusErrorKind::Overflow
    } else if says(&["maximum", "stale", "shutdown", "closed"]) && !says(&["payload"]) {
        BusErrorKind::Unreachable
    } else {
        BusErrorKind::Protocol
    };
    let hint = match kind {
        BusErrorKind::Denied => "; the user must be allowed to publish and subscribe to `PREFIX.*`",
        _ => "",
    };
    End::Failed(kind, format!("the NATS server says: {text}{hint}"))
}

/// The error of a link that was not opened, without these secrets.
pub(crate) fn refused(nats: &Nats, secrets: &Secrets, error: ConnectError) -> BusError {
    // Only one of the refusals has a kind of its own; the others are known by their text.
    let text = error.to_string().to_lowercase();
    let denied = matches!(
        error.kind(),
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
    ) || text.contains("authentication")
        || text.contains("authorization");
    let servers = nats.endpoint.addresses().join(", ");
    if denied {
        let message = format!("the NATS server does not accept the credentials ({servers})");
        BusError::new(BusErrorKind::Denied, message)
    } else if let Some(says) = says(&error) {
        let says = secrets.hide(&says);
        let message = format!("the NATS server refuses the connection ({servers}): {says}");
        BusError::new(BusErrorKind::Unreachable, message)
    } else {
        let message = format!("no NATS server was reached at {servers}");
        BusError::new(BusErrorKind::Unreachable, message)
    }
    .caused_by(secrets.hide_in(Box::new(error)))
}

/// What the server itself says, if it was the server that refused.
fn says(error: &ConnectError) -> Option<String> {
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // A server that is full speaks before its time, which the driver has a text of its own for.
        if error.is::<ServerError>() || text.starts_with("expected INFO, got Error") {
            return Some(text);
        }
        cause = error.source();
    }
    None
}
