//! Why a server does not start, or does not end as it should.

use std::fmt;
use std::io;

use midplane::connect::{ConnectError, KeyFileError};

/// Why a server did not end as it should.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The socket could not be set up, or the system gave no signal handler or thread. Nothing was
    /// served.
    Start(io::Error),
    /// The backplane is not open. Nothing was served.
    Backplane(ConnectError),
    /// There are no keys in the file of `--bus-key-file`. Nothing was served.
    Keys(KeyFileError),
    /// Signatures are required, and no file of keys is named. Nothing was served.
    NoKeys,
    /// Events that were accepted were not handed to the backplane before the drain was over.
    Unsent {
        /// How many.
        events: usize,
    },
    /// The drain took longer than it may. What was open is cut off.
    Cut {
        /// The sockets that were still open.
        sockets: usize,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "the server does not start: {error}"),
            Self::Backplane(error) => error.fmt(f),
            Self::Keys(error) => write!(f, "--bus-key-file: {error}"),
            Self::NoKeys => f.write_str("--bus-signing require takes --bus-key-file"),
            Self::Unsent { events } => {
                write!(
                    f,
                    "the drain took too long: {events} events were accepted and not relayed"
                )
            }
            Self::Cut { sockets } => {
                write!(
                    f,
                    "the drain took too long: {sockets} connections were cut off"
                )
            }
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            Self::Backplane(error) => error.source(),
            Self::Keys(error) => error.source(),
            Self::NoKeys | Self::Unsent { .. } | Self::Cut { .. } => None,
        }
    }
}

impl From<ConnectError> for RunError {
    fn from(error: ConnectError) -> Self {
        Self::Backplane(error)
    }
}

impl From<KeyFileError> for RunError {
    fn from(error: KeyFileError) -> Self {
        Self::Keys(error)
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::Start(error)
    }
}
