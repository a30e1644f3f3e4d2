//! What came of a publish, a flush and a close, and what a backplane can do.

use core::fmt;
use core::ops::Add;

use crate::audience::MAX_AUDIENCE;

/// The ability of a backplane at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Events reach every connection the backplane is for.
    Live,
    /// Events of other nodes may not come, or those of this one not reach them: the bus is not reached, or not proven yet to
    /// bring what is sent; a member is not heard, or does not hear this node; or fewer are heard than were expected.
    /// [`Status::reasons`](crate::Status::reasons) has the names.
    /// Local delivery goes on, and what is published waits for the bus.
    #[default]
    Degraded,
    /// The [`Driver`](crate::Driver) is gone, or was never polled within ten heartbeats: this node has no bus. Local
    /// delivery goes on, and nothing is relayed. A driver that is polled after all makes the state
    /// [`Degraded`](Self::Degraded) again.
    Stopped,
    /// [`Backplane::close`](crate::Backplane::close) was called.
    Closed,
}

/// The outcome of a publish.
///
/// As a number it is the count of local sinks that accepted the event:
///
/// ```
/// # use midplane_core::Receipt;
/// # fn deliver(receipt: Receipt) {
/// let delivered = usize::from(receipt);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The counts of the sinks of this node.
    pub local: Delivered,
    /// The outcome on the way to other nodes.
    pub relay: Relay,
}

impl Receipt {
    pub(crate) fn new(local: Delivered, relay: Relay) -> Self {
        Self { local, relay }
    }
}

impl Receipt {
    /// How many sinks of this node took the event.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.local.accepted
    }

    /// Whether the event goes to every node there is: it was queued, or there is no other node.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        !matches!(self.relay, Relay::Refused(_))
    }
}

/// The word for the state in logs and metrics: `live`, `degraded`, `stopped`, `closed`.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
            Self::Closed => "closed",
        })
    }
}

impl From<Receipt> for usize {
    fn from(receipt: Receipt) -> Self {
        receipt.local.accepted
    }
}

/// The outcome of one event at the connections of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// Sinks that took the event.
    pub accepted: usize,
    /// Sinks that had no room; the event is dropped for them.
    pub full: usize,
    /// Sinks that said their connection is gone; each is detached.
    pub closed: usize,
    /// Sinks that panicked; each is detached.
    pub panicked: usize,
}

impl Add for Delivered {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            full: self.full + other.full,
            closed: self.closed + other.closed,
            panicked: self.panicked + other.panicked,
        }
    }
}

/// The outcome of an event on its way to other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Relay {
    /// The backplane has one node; there is nowhere to relay to.
    NotConfigured,
    /// The event waits to be handed to the bus.
    Queued,
    /// The event does not leave this node.
    Refused(Refusal),
}

/// Why an event was not relayed. The local deliveries that the receipt counts took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The backplane is closed; the event was not delivered locally either, unless the close came between.
    Closed,
    /// The [`Driver`](crate::Driver) was dropped, or never polled within ten heartbeats: this node has no bus.
    Stopped,
    /// The outgoing queue is full, see [`Config::queue`](crate::node::Config::queue), or 4,096 questions wait for
    /// their answers.
    Full,
    /// The event and its audience do not fit a frame of the bus.
    TooLarge(TooLarge),
    /// The audience has more than [`MAX_AUDIENCE`] targets or exclusions.
    TooMany(TooMany),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the backplane is closed"),
            Self::Stopped => f.write_str("the driver does not run"),
            Self::Full => f.write_str("the queue to the bus is full"),
            Self::TooLarge(reason) => reason.fmt(f),
            Self::TooMany(reason) => reason.fmt(f),
        }
    }
}

impl core::error::Error for Refusal {}

impl From<TooLarge> for Refusal {
    fn from(reason: TooLarge) -> Self {
        Self::TooLarge(reason)
    }
}

impl From<TooMany> for Refusal {
    fn from(reason: TooMany) -> Self {
        Self::TooMany(reason)
    }
}

/// Bytes that exceed the limit of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// The size that the frame has or would have, in bytes.
    pub bytes: usize,
    /// The limit, in bytes.
    pub limit: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, limit } = self;
        write!(f, "a frame of {bytes} bytes is over the limit of {limit}")
    }
}

impl core::error::Error for TooLarge {}

/// An audience with more than [`MAX_AUDIENCE`] targets or exclusions, which does not travel between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// The number of targets or of exclusions, whichever is larger.
    pub count: usize,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the audience lists {} targets or exclusions, at most {MAX_AUDIENCE} travel",
            self.count
        )
    }
}

impl core::error::Error for TooMany {}

/// Why a flush did not hand everything over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushError {
    /// The backplane is closed, or its driver gone; what was not handed over is in the report of the close.
    Closed,
    /// Events were given up during the flush: they waited past their time to live, or two links failed while
    /// sending them. Other nodes report a gap.
    Lost {
        /// The number of events; some may have been published after the flush began.
        count: usize,
    },
}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the backplane is closed"),
            Self::Lost { count } => write!(
                f,
                "{count} events were given up: the bus was away for too long"
            ),
        }
    }
}

impl core::error::Error for FlushError {}

/// The outcome of a close.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "the report says what was not sent"]
#[non_exhaustive]
pub struct CloseReport {
    /// Events that were accepted for relay and not handed to the bus: those that still waited when the close ended, and
    /// those that were given up while it went on, having waited past their time to live.
    pub unsent: usize,
}
