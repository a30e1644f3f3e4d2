//! The driver's errors as those of a bus, without secrets.

use std::error::Error;

use midplane_core::bus::{BusError, BusErrorKind, Secrets};
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What caused an error.
pub(crate) type Source = Box<dyn Error + Send + Sync>;

/// What the messages about one server name, and what they must hide.
#[derive(Clone)]
pub(crate) struct ErrorContext {
    /// Where the server is, without the credentials.
    pub(crate) address: String,
    /// What no message may show. A server that does not know a command quotes it back, with the password that was in it.
    pub(crate) secrets: Secrets,
}

impl ErrorContext {
    /// The error of a bus for this error of the driver, which happened when the server was asked to do this.
    pub(crate) fn error(&self, what: &str, error: RedisError) -> BusError {
        let (kind, message, source) = self.explain(what, error);
        BusError::new(kind, message).caused_by(source)
    }

    /// The kind of an error of the driver, its message, and its cause.
    pub(crate) fn explain(&self, what: &str, error: RedisError) -> (BusErrorKind, String, Source) {
        let kind = kind(&error);
        let address = &self.address;
        let message = match kind {
            BusErrorKind::Denied => format!(
                "redis at {address} does not let us {what}: look at the user and password of the url, and \
                 at that user's acl"
            ),
            BusErrorKind::Protocol => format!(
                "redis at {address} gave an answer that makes no sense when asked to {what}: is the url \
                 that of a redis 6 or newer, or of a valkey?"
            ),
            _ if is_shifting(&error) => format!(
                "redis at {address} cannot {what}: its cluster is down, or is giving the slot to another shard"
            ),
            _ if matches!(error.kind(), ErrorKind::Server(_)) => {
                let says = self.secrets.hide(&error.to_string());
                format!("redis at {address} refuses to {what}: {says}")
            }
            _ => format!(
                "redis at {address}, as the url has it, is not there to {what}: is it running, and is the \
                 address right?"
            ),
        };
        (kind, message, self.secrets.hide_in(error.into()))
    }
}

/// Whether a cluster says that another node is to be asked, or none.
fn is_shifting(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some("MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN")
    )
}

fn kind(error: &RedisError) -> BusErrorKind {
    // A server that is full has no code of its own for it.
    let full = |detail: &str| detail.contains("max number of clients");
    match error.kind() {
        ErrorKind::Server(_) if error.detail().is_some_and(full) => BusErrorKind::Unreachable,
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
            BusErrorKind::Denied
        }
        ErrorKind::Parse
        | ErrorKind::UnexpectedReturnType
        | ErrorKind::RESP3NotSupported
        | ErrorKind::Server(ServerErrorKind::ResponseError) => BusErrorKind::Protocol,
        _ => match error.code() {
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => BusErrorKind::Denied,
            _ => BusErrorKind::Unreachable,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_told_apart() {
        for (said, expected) in [
            ("NOAUTH Authentication required.", BusErrorKind::Denied),
            (
                "WRONGPASS invalid pair or user is disabled.",
                BusErrorKind::Denied,
            ),
            ("NOPERM this user has no permissions", BusErrorKind::Denied),
            (
                "LOADING the dataset is in memory soon",
                BusErrorKind::Unreachable,
            ),
            (
                "ERR max number of clients reached",
                BusErrorKind::Unreachable,
            ),
            ("ERR unknown command 'PUBLISH'", BusErrorKind::Protocol),
            ("MOVED 3999 127.0.0.1:6381", BusErrorKind::Unreachable),
            ("CLUSTERDOWN The cluster is down", BusErrorKind::Unreachable),
        ] {
            let value = redis::parse_redis_value(format!("-{said}\r\n").as_bytes());
            let error = value
                .and_then(redis::Value::extract_error)
                .expect_err("an error");
            assert_eq!(kind(&error), expected, "{said}");
        }
    }
}
