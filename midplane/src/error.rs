//! The one error of the front crate.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use midplane_core::{AssociateError, IdError, NotUtf8, Refusal};

use crate::connect::ConnectError;
use crate::runtime::RuntimeError;

/// What went wrong in a call of this crate.
///
/// `Debug` is `Display`, for that is what `main` prints when it returns an error.
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// A text is no id. Nothing was done.
    Id(IdError),
    /// A connection was not joined to a target. Nothing was done.
    Associate(AssociateError),
    /// An event was not relayed to other nodes. The connections of this node have it, unless the backplane is closed.
    Refused(Refusal),
    /// There is no bus. Nothing is left open.
    Connect(Arc<ConnectError>),
    /// The runtime does not fit, or there is none. Nothing was started.
    Runtime(RuntimeError),
    /// The backplane's driver has ended: nothing comes from other nodes or goes there.
    Stopped {
        /// What the driver said when it panicked, if it did.
        panic: Option<Arc<str>>,
    },
    /// The backplane is closed.
    Closed,
    /// A number of events that were dropped before this point, since the connection's reader was slower than they came.
    Lost(u64),
    /// Events of other nodes may be missing before this point. What is needed of them is to be read again from where it
    /// is kept.
    Missed,
    /// A text event must be UTF-8.
    NotUtf8(NotUtf8),
    /// A value is no JSON, or JSON is no such value. The text says what is wrong, and where.
    Json(Arc<str>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(error) => error.fmt(f),
            Self::Associate(error) => error.fmt(f),
            Self::Refused(refusal) => write!(f, "the event is not relayed: {refusal}"),
            Self::Connect(error) => error.fmt(f),
            Self::Runtime(error) => error.fmt(f),
            Self::Stopped { panic: None } => {
                f.write_str("the driver of the backplane does not run")
            }
            Self::Stopped { panic: Some(panic) } => {
                write!(f, "the driver of the backplane panicked: {panic}")
            }
            Self::Closed => f.write_str("the backplane is closed"),
            Self::Lost(events) => write!(
                f,
                "{events} events were dropped: the connection was read too slowly"
            ),
            Self::Missed => f.write_str("events of other nodes may be missing"),
            Self::NotUtf8(error) => error.fmt(f),
            Self::Json(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // The others' own messages are in this one's.
            Self::Connect(error) => error.source(),
            Self::NotUtf8(error) => error.source(),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($error:ident $variant:ident),+) => {
        $(
            impl From<$error> for Error {
                fn from(error: $error) -> Self {
                    Self::$variant(error)
                }
            }
        )+
    };
}

from!(IdError Id, AssociateError Associate, Refusal Refused, RuntimeError Runtime, NotUtf8 NotUtf8);

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Self::Connect(Arc::new(error))
    }
}
