//! The trait that services program against, and the receipt of a publish.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::attachment::Attachment;
use crate::audience::Audience;
use crate::cluster::Notice;
use crate::envelope::TooMany;
use crate::event::Event;
use crate::id::IdError;
use crate::node::NotQueued;
use crate::question::{Answers, Question};
use crate::registry::Delivered;
use crate::sink::Sink;
use crate::target::ConnectionId;

/// Connections on one side, publishers on the other, on however many nodes.
///
/// A value is a handle inside one [`Scope`](crate::Scope); every connection and target it names is in that scope.
/// Two events published one after the other through one handle reach each connection in that order;
/// an event published from inside a sink is delivered before the publish around it goes on.
#[async_trait]
pub trait Backplane: Send + Sync + fmt::Debug + 'static {
    /// Attaches a connection and joins it to its own target. A connection that has the id in this
    /// scope is detached first, and the new one inherits nothing from it. Once the backplane is
    /// closed, the attachment is detached from the start and the sink is dropped.
    fn attach(&self, id: ConnectionId, sink: Sink) -> Attachment;

    /// Delivers the event to every connection of the audience, each once: to those of this node
    /// before it returns, to those of other nodes as the receipt's [`Relay`] says. It never waits for
    /// a bus.
    fn publish(&self, audience: &Audience, event: &Event) -> Receipt;

    /// Asks every node, this one first, and waits until each member answered or the deadline has passed;
    /// see [`Ask`](crate::Ask) for the questions by name. The answers name who did not.
    async fn ask(&self, question: Question, deadline: Duration) -> Answers;

    /// A handle inside the scope that `label` names within this handle's own. Whatever it attaches or
    /// publishes to is in that scope or below; it can name nothing beside or above. The methods
    /// below are not of a scope but of the whole backplane, whichever handle is asked.
    ///
    /// # Errors
    /// When the label is empty or the path grows past [`MAX_ID_BYTES`](crate::MAX_ID_BYTES).
    fn scoped(&self, label: &str) -> Result<Arc<dyn Backplane>, IdError>;

    /// What the backplane can do at this moment, whichever handle is asked.
    fn state(&self) -> State;

    /// What happens from now on that a host should know, the state first: see [`Notice`]. The stream ends
    /// behind [`State::Closed`]. What a slow listener does not take is counted and dropped.
    fn notices(&self) -> BoxStream<'static, Notice>;

    /// Waits until every event accepted for relay before the call was handed to the bus.
    ///
    /// # Errors
    /// When the backplane is closed, or closes meanwhile, with events not handed over.
    async fn flush(&self) -> Result<(), FlushError>;

    /// Ends the backplane for every handle: nothing more is attached or published, what was accepted
    /// for relay is handed to the bus within the deadline, and every connection is detached, without
    /// waiting for sinks that run. Closing twice reports the second time that nothing was left.
    async fn close(&self, deadline: Duration) -> CloseReport;
}

const _: fn(&dyn Backplane) = |_| ();

/// What a backplane can do at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Events reach every connection the backplane is for.
    Live,
    /// Events of other nodes may not come: the bus is not reached, or not proven yet to bring what is sent.
    /// Local delivery goes on, and what is published waits for the bus.
    Degraded,
    /// [`Backplane::close`] was called.
    Closed,
}

/// What became of a published event.
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
#[must_use = "the receipt says whether the event was delivered and relayed"]
#[non_exhaustive]
pub struct Receipt {
    /// What the sinks of this node said.
    pub local: Delivered,
    /// What became of the event on its way to other nodes.
    pub relay: Relay,
}

impl Receipt {
    pub(crate) fn new(local: Delivered, relay: Relay) -> Self {
        Self { local, relay }
    }
}

impl From<Receipt> for usize {
    fn from(receipt: Receipt) -> Self {
        receipt.local.accepted
    }
}

/// What became of an event on its way to other nodes.
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
    /// The [`Driver`](crate::Driver) was dropped: this node has no bus any more.
    Stopped,
    /// As much waits for the bus as may: see [`Config::queue`](crate::node::Config::queue).
    Full,
    /// The event and its audience do not fit a frame of the bus.
    TooLarge {
        /// What they need, in bytes.
        bytes: usize,
        /// The bus's limit, in bytes.
        limit: usize,
    },
    /// The audience has more than [`MAX_AUDIENCE`](crate::envelope::MAX_AUDIENCE) targets or exclusions.
    TooMany {
        /// How many there are of what there is more of.
        count: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the backplane is closed"),
            Self::Stopped => f.write_str("the driver does not run"),
            Self::Full => NotQueued::Full.fmt(f),
            Self::TooLarge { bytes, limit } => {
                let (bytes, limit) = (*bytes, *limit);
                NotQueued::TooLarge { bytes, limit }.fmt(f)
            }
            Self::TooMany { count } => NotQueued::TooMany { count: *count }.fmt(f),
        }
    }
}

impl core::error::Error for Refusal {}

impl From<NotQueued> for Refusal {
    fn from(reason: NotQueued) -> Self {
        match reason {
            NotQueued::TooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            NotQueued::TooMany { count } => Self::TooMany { count },
            NotQueued::Full => Self::Full,
        }
    }
}

impl From<TooMany> for Refusal {
    fn from(TooMany { count }: TooMany) -> Self {
        Self::TooMany { count }
    }
}

/// Why a flush did not hand everything over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushError {
    /// The backplane is closed, or its driver gone; what was not handed over is in the report of the close.
    Closed,
    /// Meanwhile events were given up that had waited past their time to live, or that two sessions died
    /// of. Others see a gap.
    Lost {
        /// How many; some may have been published after the flush began.
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

/// What a close left undone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "the report says what was not sent"]
#[non_exhaustive]
pub struct CloseReport {
    /// Events that were accepted for relay and not handed to the bus.
    pub unsent: usize,
}
