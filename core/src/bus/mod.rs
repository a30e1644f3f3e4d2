//! The seam that adapters implement: moving opaque frames between nodes.

mod inbox;
mod lane;
mod open_link;
mod prefix;
mod settings;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::error::Error;
use core::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use inbox::{End, Inbox};
pub use lane::{Lane, ParseLaneError};
pub use open_link::OpenLink;
pub use prefix::{Prefix, PrefixError};
pub use settings::SettingsError;

/// A way to reach every node, deliberately dumb: it moves frames and knows nothing of what is in them.
///
/// An adapter does not retry, back off, resubscribe, heartbeat or count: a link that errs or ends is
/// dead, and the cluster's driver opens the next one. Nor does it set deadlines: the driver does, on its
/// own clock, and drops the futures here when they pass; a dropped future must leave nothing running.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug + 'static {
    /// What the bus takes. It does not change.
    fn limits(&self) -> Limits;

    /// Opens a link: one attempt, from scratch. Credentials are read anew each time, so that they can
    /// be rotated.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the link. Nothing is left open.
    async fn connect(&self) -> Result<Link, BusError>;
}

/// A link is one connected session with a bus. Dropping both halves closes it; what one half does without
/// the other is up to the adapter.
///
/// Once a link is dead, every call on it fails, and its stream yields what had arrived, perhaps an
/// error, and the end. Closing it ends the stream too.
pub struct Link {
    /// The sending half.
    pub transmit: Box<dyn Transmit>,
    /// What arrives on the lanes that are subscribed, this link's own frames among them: by
    /// receiving those a node knows that it is not deaf.
    ///
    /// Frames of one sender on one lane arrive in the order sent, perhaps with gaps, perhaps repeated.
    /// The stream ends, or yields an error and then ends, when the link is dead. What waits in it is
    /// bounded; a link that overflows is dead.
    pub frames: BoxStream<'static, Result<Inbound, BusError>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// The sending half of a link.
///
/// After an error of any kind but [`TooLarge`](BusErrorKind::TooLarge) the link is dead.
#[async_trait]
pub trait Transmit: Send {
    /// Adds the lanes to those that this link is subscribed to. It resolves when the server has them: what anyone
    /// sends on them afterwards arrives. A lane that is subscribed already stays so.
    ///
    /// # Errors
    /// When the link is dead or the server refuses a lane.
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError>;

    /// Takes the lanes from those that this link is subscribed to. The server need not have acknowledged it when this
    /// resolves: frames on their way may still arrive.
    ///
    /// # Errors
    /// When the link is dead.
    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError>;

    /// Sends the frames in order, pipelined. It resolves when the link can take more, which says
    /// nothing of who received them.
    ///
    /// # Errors
    /// When the link is dead, or a frame is larger than [`Limits::frame`]: then none of the frames was
    /// sent and the link lives.
    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError>;

    /// Sends what is buffered and closes the link. Closing it again does nothing.
    ///
    /// # Errors
    /// When it was dead before everything was sent.
    async fn close(&mut self) -> Result<(), BusError>;
}

const _: fn(&dyn Bus, &dyn Transmit) = |_, _| ();

/// What a bus takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest frame, in bytes.
    pub frame: usize,
}

impl Limits {
    /// The limits of a bus whose largest frame has this many bytes.
    #[must_use]
    pub const fn new(frame: usize) -> Self {
        Self { frame }
    }

    /// Checks that each of these frames is within the limits. For adapters, before they send any of them.
    ///
    /// # Errors
    /// [`TooLarge`](BusErrorKind::TooLarge) when a frame is not.
    pub fn check(&self, frames: &[Outbound]) -> Result<(), BusError> {
        let (sizes, limit) = (
            frames.iter().map(|outbound| outbound.frame.len()),
            self.frame,
        );
        match sizes.max().filter(|size| *size > limit) {
            None => Ok(()),
            Some(size) => Err(BusError::new(
                BusErrorKind::TooLarge,
                format!(
                    "a frame of {size} bytes is larger than this bus's frame limit of {limit} bytes"
                ),
            )),
        }
    }
}

/// A frame to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Outbound {
    /// The lane to send it on.
    pub lane: Lane,
    /// The bytes of the frame.
    pub frame: Bytes,
}

/// A frame that arrived.
#[derive(Clone, PartialEq, Eq)]
pub struct Inbound {
    /// The lane it arrived on.
    pub lane: Lane,
    /// The bytes of the frame, which anyone who can reach the bus may have made up.
    pub frame: Bytes,
}

macro_rules! debug_without_content {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("lane", &self.lane.0)
                    .field("bytes", &self.frame.len())
                    .finish()
            }
        }
    )+};
}

debug_without_content!(Outbound, Inbound);

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
