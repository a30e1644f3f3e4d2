//! What can be written into a history.

use std::fmt;
use std::time::Duration;

use midplane::envelope::NodeId;
use midplane::{Audience, ConnectionId, Reach, Scope, Target};

use super::EventTag;

/// One attachment of one connection. Attaching the same connection id again gives another attachment id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttachmentId(pub u64);

/// One thing that happened, as its observer recorded it.
///
/// A call that takes time is two or three facts: one recorded before the call, one after the call returned, and
/// one after the call's future was ready. The order of the facts in a history is the order of recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A node started: one start of one process.
    Started(NodeId),
    /// A node ended without a goodbye.
    Crashed(NodeId),
    /// A node's close was called.
    Closing(NodeId),
    /// A node's close was ready.
    Closed {
        /// The node.
        node: NodeId,
        /// How many events the close reported as not sent.
        unsent: usize,
    },
    /// A node reported whether it is live.
    State {
        /// The node.
        node: NodeId,
        /// What the node reported.
        live: bool,
    },
    /// A node reported that messages of another node did not arrive.
    Gap {
        /// The node that reported the gap.
        node: NodeId,
        /// The node whose messages are missing.
        origin: NodeId,
        /// The lane of the messages.
        lane: u32,
        /// The first missing number.
        first: u64,
        /// The last missing number.
        last: u64,
        /// When, on the clock of the history, the node says that they were published at the earliest and at the
        /// latest; `None` if it did not say.
        published: Option<(Duration, Duration)>,
    },
    /// A node reported that it may have missed anything between two moments.
    Deaf {
        /// The node that reported deafness.
        node: NodeId,
        /// The node that was not heard; `None` for all others.
        origin: Option<NodeId>,
        /// The lane on which it was not heard; `None` for every lane.
        lane: Option<u32>,
        /// The begin, on the clock of the history.
        since: Duration,
        /// The end, on the clock of the history.
        until: Duration,
    },
    /// A node reported that another joined the cluster.
    Joined {
        /// The node that reported the join.
        node: NodeId,
        /// The node that joined.
        origin: NodeId,
    },
    /// A node reported that another is not heard any more.
    Silent {
        /// The node that reported the silence.
        node: NodeId,
        /// The node that is not heard.
        origin: NodeId,
    },
    /// A node dropped notices, because its host did not read them.
    Lagged(NodeId),

    /// A connection is about to be attached.
    Attaching {
        /// The attachment.
        attachment: AttachmentId,
        /// The node it is attached to.
        node: NodeId,
        /// The scope of the connection.
        scope: Scope,
        /// The id of the connection.
        connection: ConnectionId,
    },
    /// The attach returned.
    Attached(AttachmentId),
    /// The connection's own target, which attaching joined, reaches as far as it can for now.
    Reached(AttachmentId),
    /// An attachment is about to be associated with a target.
    Associating {
        /// The attachment.
        attachment: AttachmentId,
        /// The target.
        target: Target,
    },
    /// The future of the associate was ready.
    Associated {
        /// The attachment.
        attachment: AttachmentId,
        /// The target.
        target: Target,
        /// How far the association reaches; `None` if it was refused.
        reach: Option<Reach>,
    },
    /// An attachment is about to be dissociated from a target.
    Dissociating {
        /// The attachment.
        attachment: AttachmentId,
        /// The target.
        target: Target,
    },
    /// The dissociate returned.
    Dissociated {
        /// The attachment.
        attachment: AttachmentId,
        /// The target.
        target: Target,
    },
    /// An attachment is about to be detached or dropped.
    Detaching(AttachmentId),
    /// The detach returned its future; nobody awaited the future yet.
    DetachReturned(AttachmentId),
    /// The awaited detach was ready, outside every sink.
    Detached(AttachmentId),

    /// An event is about to be published.
    Publishing {
        /// The event.
        tag: EventTag,
        /// The node it is published on.
        node: NodeId,
        /// The scope of its audience.
        scope: Scope,
        /// The audience of the event.
        audience: Audience,
        /// The lane on which the node relays it.
        lane: u32,
        /// The hash of its content.
        hash: u64,
        /// The bytes of its content.
        bytes: u64,
    },
    /// The publish returned.
    Published {
        /// The event.
        tag: EventTag,
        /// The receipt's counts of local sinks, by verdict.
        counts: SinkCounts,
        /// The receipt's word on the relay.
        relay: Relayed,
    },
    /// A sink was called and is about to return or to panic.
    Delivered {
        /// The attachment.
        attachment: AttachmentId,
        /// The event, if its bytes carry a tag.
        tag: Option<EventTag>,
        /// The hash of the bytes.
        hash: u64,
        /// What the sink returns.
        outcome: SinkOutcome,
    },
    /// A connection was told that it may have missed events.
    Missed {
        /// The attachment.
        attachment: AttachmentId,
        /// When the earliest of the events can have been published, on the clock of the history.
        since: Duration,
        /// When the latest of the events can have been published, on the clock of the history.
        until: Duration,
        /// How many events are known to be missing.
        events: u64,
        /// Whether no others are missing.
        exact: bool,
        /// The lanes of the events; `None` for any.
        lanes: Option<Vec<u32>>,
    },
    /// An unknown sender put an event on the bus: every node may deliver it.
    Forged {
        /// The hash of its content.
        hash: u64,
    },
    /// An unknown sender sends frames to a node in another node's name.
    Impersonated {
        /// The node that gets the frames.
        node: NodeId,
        /// The node in whose name they are.
        origin: NodeId,
        /// The lane whose numbers the frames claim.
        lane: u32,
    },

    /// A node handed a message to the bus, or tried to.
    Sent {
        /// The node.
        origin: NodeId,
        /// The lane.
        lane: u32,
        /// The message's sequence number.
        number: u64,
        /// The number of the first message in the same frame.
        frame: u64,
        /// The event in it, if it is a tagged one.
        tag: Option<EventTag>,
    },

    /// From now on a fault is injected somewhere, and messages may be lost.
    FaultBegan,
    /// No fault is injected any more.
    FaultEnded,
    /// The machine ran nothing from then until now, so anything may have been late or lost.
    Stalled {
        /// The begin of the stall.
        since: Duration,
    },
    /// From now on the node's clock stands, or it leaps.
    ClockFault {
        /// The node.
        node: NodeId,
        /// When the clock goes on.
        until: Duration,
        /// Whether it leaps.
        leap: bool,
    },
    /// From now on the node cannot hear the bus, so it must not stay live for longer than
    /// [`Bounds::notice`](super::Bounds::notice).
    MustNotBeLive(NodeId),
    /// The node can hear the bus again, so it may be live.
    MayBeLive(NodeId),
    /// A quantity was measured.
    Level {
        /// What was measured, and where.
        what: String,
        /// The quantity.
        value: u64,
        /// The most it may be.
        cap: u64,
    },
}

/// The counts of a receipt: local sinks by what each said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SinkCounts {
    /// Sinks that took the event.
    pub accepted: usize,
    /// Sinks without room.
    pub full: usize,
    /// Sinks whose connection was gone.
    pub closed: usize,
    /// Sinks that panicked.
    pub panicked: usize,
}

impl fmt::Display for SinkCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted,
            full,
            closed,
            panicked,
        } = self;
        write!(
            f,
            "{accepted} accepted, {full} full, {closed} closed, {panicked} panicked"
        )
    }
}

/// A receipt's word on the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relayed {
    /// The event waits to be sent.
    Queued,
    /// The event does not leave the node.
    Not,
}

/// What a sink did with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkOutcome {
    /// The sink took the event.
    Accepted,
    /// The sink had no room.
    Full,
    /// The sink said that its connection is gone.
    Closed,
    /// The sink panicked.
    Panicked,
}

/// A node in messages for people: the first two bytes of its id.
pub(crate) fn name(node: NodeId) -> String {
    let [a, b, ..] = node.0;
    format!("node {a:02x}{b:02x}")
}
