//! Why there is no bus, without secrets.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use midplane_core::bus::{BusError, SettingsError};

use super::{BusKind, KeyFileError};

/// Why there is no bus. The message says what failed, by which setting, and what to do; neither it nor its source
/// holds the URL, which may hold a password. Nothing is left open.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The setting is set, and is empty or is not text.
    Empty {
        /// The setting's name.
        setting: &'static str,
    },
    /// The setting names no bus there is.
    Unknown {
        /// The setting's name.
        setting: &'static str,
    },
    /// A bus is named, and its URL is missing.
    MissingUrl {
        /// The bus that is named.
        backplane: BusKind,
    },
    /// What is of a cluster is set, and no bus to use it on.
    MissingBackplane {
        /// The setting's name.
        setting: &'static str,
    },
    /// The setting is none of what it may be.
    Unusable {
        /// The setting's name.
        setting: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// Frames are to be signed, and no file of keys is named.
    MissingKeys,
    /// There are no keys in the file that the setting names.
    Keys {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with the file.
        source: KeyFileError,
    },
    /// The bus that is named is another than that of the URL.
    Mismatch {
        /// The bus that is named.
        backplane: BusKind,
        /// The bus of the URL.
        url: BusKind,
    },
    /// What the setting asks for is not in this program.
    NotCompiledIn {
        /// The setting's name.
        setting: &'static str,
        /// The feature of `midplane` that brings it.
        feature: &'static str,
    },
    /// The adapter does not take the setting.
    Invalid {
        /// The setting's name.
        setting: &'static str,
        /// What the adapter says.
        source: SettingsError,
    },
    /// The server is not there, or refuses the connection.
    Refused {
        /// The name of the setting that says where it is.
        setting: &'static str,
        /// What the bus says.
        source: BusError,
    },
    /// The bus did not bring this node's own heartbeats back before the deadline, though no link failed.
    NotLive {
        /// The name of the setting that says where it is.
        setting: &'static str,
        /// For how long it was awaited.
        deadline: Duration,
    },
    /// The operating system gives no random bytes for the id of the node.
    NoRandomness(std::io::ErrorKind),
    /// The server did not accept the connection before the deadline.
    Late {
        /// The name of the setting that says where it is.
        setting: &'static str,
        /// The sort of bus.
        backplane: BusKind,
        /// For how long it was awaited.
        deadline: Duration,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { setting } => write!(
                f,
                "{setting} is set and is empty, or is not text: set what it should be, or unset it for a single node"
            ),
            Self::Unknown {
                setting: setting @ "MIDPLANE_BACKPLANE",
            } => write!(
                f,
                "{setting} must be one of memory, redis, valkey, nats and postgres; where the server is goes into \
                 MIDPLANE_BACKPLANE_URL"
            ),
            Self::Unknown { setting } => write!(
                f,
                "{setting} must start with memory:, redis://, rediss://, valkey://, valkeys:// (or one of these with \
                 +cluster or +sentinel), nats://, tls:// or postgres://"
            ),
            Self::MissingUrl { backplane } => write!(
                f,
                "MIDPLANE_BACKPLANE is {backplane} and MIDPLANE_BACKPLANE_URL is not set: set it, as in {}",
                backplane.example()
            ),
            Self::MissingBackplane { setting } => write!(
                f,
                "{setting} is set and no backplane is: set MIDPLANE_BACKPLANE_URL, or leave out {setting} for a single node"
            ),
            Self::Unusable { setting, expected } => write!(f, "{setting} must be {expected}"),
            Self::MissingKeys => f.write_str(
                "MIDPLANE_BUS_SIGNING is set and MIDPLANE_BUS_KEY_FILE is not: set it to the file of the keys, or leave out \
                 both for frames that nobody signs",
            ),
            Self::Keys { setting, source } => write!(f, "{setting}: {source}"),
            Self::Mismatch { backplane, url } => write!(
                f,
                "MIDPLANE_BACKPLANE is {backplane} and MIDPLANE_BACKPLANE_URL is that of {url}: change one of them; a \
                 url of {backplane} is like {}",
                backplane.example()
            ),
            Self::NotCompiledIn { setting, feature } => write!(
                f,
                "{setting} asks for what this program was compiled without: compile it with the feature `{feature}` of \
                 midplane, or set another backplane"
            ),
            Self::Invalid { setting, source } => write!(f, "{setting} is not usable: {source}"),
            Self::Refused { setting, source } => {
                write!(f, "the bus of {setting} is not open: {source}")
            }
            Self::NotLive { setting, deadline } => write!(
                f,
                "the bus of {setting} is not live: within {deadline:?} no link failed, and none brought back what this \
                 node sent; does the server answer at all, and does anything before it hold messages back, such as a \
                 pooler of connections?"
            ),
            Self::NoRandomness(kind) => write!(
                f,
                "the operating system gives no random bytes for the id of this node: {kind}"
            ),
            Self::Late {
                setting,
                backplane,
                deadline,
            } => write!(
                f,
                "the bus of {setting} is not open: no {backplane} accepted the connection within {deadline:?}; is it running, \
                 and is the address right?"
            ),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Its own message is in this one's.
            Self::Refused { source, .. } => source.source(),
            Self::Keys { source, .. } => source.source(),
            _ => None,
        }
    }
}
