//! The driver's errors as those of a bus, without secrets.

use async_nats::{ConnectError, ConnectErrorKind, ServerError};
use midplane_core::bus::{BusError, BusErrorKind, End};

use crate::settings::Nats;

/// The end of a link whose connection is gone.
pub(crate) fn lost() -> End {
    End::Failed(
        BusErrorKind::Unreachable,
        String::from("the connection to the NATS server is gone"),
    )
}

/// The end of a link whose server reports this error. The server's texts name subjects and no secrets.
pub(crate) fn server_error(error: &ServerError) -> End {
    let text = error.to_string();
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
        BusErrorKind::Denied => "; the user must be allowed to publish and subscribe to the lanes",
        _ => "",
    };
    End::Failed(kind, format!("the NATS server says: {text}{hint}"))
}

/// The error of a link that was not opened. The driver's errors name servers and no secrets.
pub(crate) fn refused(nats: &Nats, error: ConnectError) -> BusError {
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
    } else {
        let message = format!("no NATS server was reached at {servers}");
        BusError::new(BusErrorKind::Unreachable, message)
    }
    .caused_by(error)
}
