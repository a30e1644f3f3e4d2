//! The seam that adapters implement: moving opaque frames between nodes.

mod error;
mod frame;
mod inbox;
mod keys;
mod lane;
mod open_link;
mod prefix;
mod secrets;
mod settings;
mod signing;

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use async_trait::async_trait;
use futures::stream::BoxStream;

pub use error::{BusError, BusErrorKind};
pub use frame::{Inbound, Limits, Outbound};
pub use inbox::{End, Inbox};
pub use keys::{Keys, KeysError};
pub use lane::{Lane, ParseLaneError};
pub use open_link::OpenLink;
pub use prefix::{Prefix, PrefixError};
pub use secrets::Secrets;
pub use settings::{SettingsError, check_url, url_parameters};
pub use signing::Signing;

/// A way to reach every node, deliberately dumb: it moves frames and knows nothing of what is in them.
///
/// An adapter does not retry, back off, resubscribe, heartbeat or count: a link that errs or ends is
/// dead, and the cluster's driver opens the next one. Nor does it set deadlines: the driver does, on its
/// own clock, and drops the futures here when they pass; a dropped future must leave nothing running.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug + 'static {
    /// What the bus takes. Where a server takes less, it may become less when a link is opened or ends, and more again at a
    /// later one, though never more than it was at first: the driver asks again then.
    fn limits(&self) -> Limits;

    /// What the names of the bus's channels begin with. Frames are signed for it, so that what was recorded under one prefix
    /// is worth nothing under another.
    fn prefix(&self) -> &str;

    /// Opens a link: one attempt, from scratch. Credentials are read anew each time, so that they can
    /// be rotated.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the link. Nothing is left open.
    async fn connect(&self) -> Result<Link, BusError>;

    /// The identity of the broker behind the link that was opened last, in at most 128 bytes that hold no secret: nodes
    /// that are connected to different brokers know it by that when they meet. `None` where the bus cannot tell.
    fn broker(&self) -> Option<String> {
        None
    }

    /// Whether no other link than one is open on the bus at this moment: who has that link need not wait for others to
    /// answer, for who comes later greets. False where the bus cannot tell.
    fn is_alone(&self) -> bool {
        false
    }
}

/// A link is one connected session with a bus. Dropping both halves closes it; what one half does without
/// the other is up to the adapter.
///
/// Once a link is dead, every call on it fails, and its stream yields what had arrived, perhaps an
/// error, and the end. Closing it ends the stream too.
pub struct Link {
    /// The sending half.
    pub transmit: Box<dyn Transmit>,
    /// What arrives on the lanes that are subscribed, this link's own frames with an [echo](Outbound::echo) among them: by
    /// receiving those a node knows that it is not deaf. Where frames without an echo go another way, those with one take
    /// that way as well, so that their return proves it.
    ///
    /// Frames of one sender on one lane arrive in the order sent, those with an echo and those without each for
    /// themselves, perhaps with gaps, perhaps repeated.
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
/// After an error of any kind but [`TooLarge`](BusErrorKind::TooLarge) and [`TooManyLanes`](BusErrorKind::TooManyLanes)
/// the link is dead.
#[async_trait]
pub trait Transmit: Send {
    /// Adds the lanes to those that this link is subscribed to. It resolves when the server has them: what anyone
    /// sends on them afterwards arrives. A lane that is subscribed already stays so.
    ///
    /// # Errors
    /// When the link is dead or the server refuses a lane. Where the server has a limit on lanes, an adapter may find that
    /// out without harm to the link: then none of these lanes was subscribed and the link lives.
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
