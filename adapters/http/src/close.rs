//! Why a WebSocket is closed.

use std::fmt;

use midplane::{AssociateError, ConnectionEnd, Error, IdError, Refusal};

/// The code and the reason of a WebSocket's close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The code, of RFC 6455 section 7.4 and the registry that it made.
    pub code: u16,
    /// The reason, for people: at most 123 bytes of it travel.
    pub reason: String,
}

impl Close {
    /// The server and the client are done with each other.
    pub const NORMAL: u16 = 1000;
    /// The client sent what it must not.
    pub const POLICY: u16 = 1008;
    /// The server failed.
    pub const ERROR: u16 = 1011;
    /// The server restarts: come back.
    pub const RESTART: u16 = 1012;
    /// The client was too slow, or the server has too much to do: come back later.
    pub const LATER: u16 = 1013;
    /// An operator disconnected the client.
    pub const DISCONNECTED: u16 = 4_001;
    /// Another connection has the client's id.
    pub const REPLACED: u16 = 4_002;
    /// The client answered no ping.
    pub const SILENT: u16 = 4_008;

    /// A close with this code and reason.
    #[must_use]
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { code, reason }
    }

    /// The code, and as much of the reason as a close frame has room for: 123 bytes, cut between two letters.
    #[must_use]
    pub fn into_parts(self) -> (u16, String) {
        let Self { code, mut reason } = self;
        let end = (0..=123).rev().find(|at| reason.is_char_boundary(*at));
        reason.truncate(end.unwrap_or(0));
        (code, reason)
    }

    /// The application has ended the session.
    #[must_use]
    pub fn normal() -> Self {
        Self::new(Self::NORMAL, "")
    }

    pub(crate) fn restart() -> Self {
        Self::new(Self::RESTART, "the server restarts")
    }

    pub(crate) fn silent() -> Self {
        Self::new(Self::SILENT, "no ping was answered")
    }
}

/// What a client is told of the end of its connection.
impl From<ConnectionEnd> for Close {
    fn from(end: ConnectionEnd) -> Self {
        match end {
            ConnectionEnd::Detached => Self::normal(),
            ConnectionEnd::Replaced => Self::new(Self::REPLACED, end.to_string()),
            ConnectionEnd::Disconnected => Self::new(Self::DISCONNECTED, end.to_string()),
            ConnectionEnd::SinkClosed => Self::new(Self::LATER, end.to_string()),
            ConnectionEnd::Closed => Self::restart(),
            _ => Self::new(Self::ERROR, end.to_string()),
        }
    }
}

/// What a client is told of an error of the application: ids, targets and JSON are the client's doing, the rest is not.
impl From<Error> for Close {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Id(_) | Error::Associate(_) | Error::Json(_) | Error::NotUtf8(_) => Self::POLICY,
            Error::Refused(Refusal::TooLarge(_) | Refusal::TooMany(_)) => Self::POLICY,
            Error::Closed => Self::RESTART,
            Error::Refused(_) | Error::Stopped { .. } => Self::LATER,
            _ => Self::ERROR,
        };
        Self::new(code, error.to_string())
    }
}

impl From<IdError> for Close {
    fn from(error: IdError) -> Self {
        Error::from(error).into()
    }
}

impl From<AssociateError> for Close {
    fn from(error: AssociateError) -> Self {
        Error::from(error).into()
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_two_letters() {
        let reason = |text: &str| Close::new(1000, text).into_parts().1;
        assert_eq!(reason("short"), "short");
        assert_eq!(reason(&"é".repeat(70)), "é".repeat(61));
    }
}
