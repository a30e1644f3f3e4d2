//! Why a call on a bus failed.

use alloc::boxed::Box;
use alloc::string::String;
use core::error::Error;
use core::fmt;

/// The kind of a [`BusError`], for the driver to act on and the operator to search for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusErrorKind {
    /// The server was not reached, or the link with it is gone.
    Unreachable,
    /// The server refused the credentials or a permission.
    Denied,
    /// A frame is larger than the bus takes. The link lives.
    TooLarge,
    /// The server takes no more lanes on this link: none of those that were asked for is subscribed. The link lives.
    TooManyLanes,
    /// What arrives is more than the link could hold, and some of it is gone.
    Overflow,
    /// The server's answer makes no sense here.
    Protocol,
}

/// Why a call on a bus failed. Its text never holds a secret.
#[derive(Debug)]
pub struct BusError {
    kind: BusErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl BusError {
    /// An error whose message says what failed, with which setting, and what to do. Neither the message
    /// nor what the source displays may hold a password or a token.
    pub fn new(kind: BusErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Adds what caused the error.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> BusErrorKind {
        self.kind
    }
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for BusError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}
