//! The errors between a listener, a producer and a store.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::error::Error;
use core::fmt::{self, Write};

use crate::{CursorError, ExecutionId, Outcome};

/// The kind of a [`BackendError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendErrorKind {
    /// The store was not reached, did not answer in time, or the connection is lost. Trying again may help.
    Unreachable,
    /// The store refused the credentials or a permission.
    Denied,
    /// The tables or functions of completions are not installed, or are of another version.
    NotInstalled,
    /// The store is set up so that it may lose what it is given: its operator has to change that.
    Misconfigured,
    /// The store answered something that this version does not understand.
    Protocol,
}

/// Why a store did not do what was asked. The text never holds a secret.
#[derive(Debug)]
pub struct BackendError {
    kind: BackendErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl BackendError {
    /// An error whose message says what failed, with which setting, and what to do. Neither the message
    /// nor what the source displays may hold a password or a token.
    pub fn new(kind: BackendErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> BackendErrorKind {
        self.kind
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// Why there is no subscription. Nothing is left open.
#[derive(Debug)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The store could not be subscribed to.
    Backend(BackendError),
    /// The cursor cannot be resumed from.
    Cursor(CursorError),
    /// The backend cannot filter, and streams nothing rather than unfiltered completions.
    CannotFilter,
    /// The backend keeps no history to resume from.
    NotDurable,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backend(_) => "the store of completions could not be subscribed to",
            Self::Cursor(_) => "the subscription cannot resume from this cursor",
            Self::CannotFilter => {
                "this backend cannot filter: subscribe to all and choose yourself"
            }
            Self::NotDurable => "this backend keeps no history: subscribe without a cursor",
        })
    }
}

impl Error for SubscribeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Backend(error) => Some(error),
            Self::Cursor(error) => Some(error),
            Self::CannotFilter | Self::NotDurable => None,
        }
    }
}

impl From<BackendError> for SubscribeError {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<CursorError> for SubscribeError {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

/// Why a producer's call changed nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProduceError {
    /// No execution of this id was started.
    Unknown(ExecutionId),
    /// The execution finished already, with another outcome or other bytes, which stay.
    Illegal {
        /// The execution.
        execution: ExecutionId,
        /// How the execution finished.
        finished: Outcome,
        /// What was asked: the name of an outcome, or `started`.
        asked: String,
    },
    /// The outcome is none of [`Outcome::KNOWN`], or the bytes are more than the store takes.
    Unfit(String),
    /// The store did not answer as it should. Whether the change was made is not known; asking again is
    /// safe.
    Backend(BackendError),
}

impl fmt::Display for ProduceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(execution) => write!(f, "no execution {execution} was started"),
            Self::Illegal {
                execution,
                finished,
                asked,
            } if finished.as_str() == asked => write!(
                f,
                "execution {execution} finished already with {finished} and other bytes"
            ),
            Self::Illegal {
                execution,
                finished,
                asked,
            } => write!(
                f,
                "execution {execution} finished already with {finished} and cannot be {asked}"
            ),
            Self::Unfit(why) => f.write_str(why),
            Self::Backend(_) => f.write_str("the store did not take the change"),
        }
    }
}

impl Error for ProduceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Backend(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BackendError> for ProduceError {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

/// What the error says, and what each of its causes says that is not said yet.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            // Writing to a string does not fail.
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}
