//! What can be written into a history.

use std::fmt;
use std::time::Duration;

use midplane::envelope::NodeId;
use midplane::{Audience, ConnectionId, Scope, Target};

use super::Mark;

/// One attachment of one connection. Attaching the same id again is another seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(pub u64);

/// Something that happened, as whoever saw it tells.
///
/// What takes time is two facts or three: one written before the call, one after it returned, and one after
/// its future was ready. The order of the facts in a history is the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A node began: one start of one process.
    Started(NodeId),
    /// A node ended without a word.
    Crashed(NodeId),
    /// A node's close is called.
    Closing(NodeId),
    /// A close was ready, and reported so many events as not sent.
    Closed {
        /// The node.
        node: NodeId,
        /// What it reported.
        unsent: usize,
    },
    /// A node said whether it is live.
    State {
        /// The node.
        node: NodeId,
        /// What it said.
        live: bool,
    },
    /// A node said that messages of another did not come.
    Gap {
        /// Who said so.
        node: NodeId,
        /// Whose messages.
        origin: NodeId,
        /// On which lane.
        lane: u32,
        /// The first number that is missing.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// A node said that it may have missed anything between two moments.
    Deaf {
        /// Who said so.
        node: NodeId,
        /// Of whom; `None` for all others.
        origin: Option<NodeId>,
        /// From when, on the clock of the history.
        since: Duration,
        /// Until when.
        until: Duration,
    },
    /// A node said that it heard of another.
    Joined {
        /// Who said so.
        node: NodeId,
        /// Who was heard.
        origin: NodeId,
    },
    /// A node said that it hears no more of another.
    Silent {
        /// Who said so.
        node: NodeId,
        /// Who is not heard.
        origin: NodeId,
    },
    /// A node said that it kept something back because nobody read what it said.
    Lagged(NodeId),

    /// A connection is about to be attached.
    Attaching {
        /// The attachment.
        seat: Seat,
        /// On which node.
        node: NodeId,
        /// In which scope.
        scope: Scope,
        /// Under which id.
        connection: ConnectionId,
    },
    /// It is attached.
    Attached(Seat),
    /// A connection is about to be joined to a target.
    Associating {
        /// The attachment.
        seat: Seat,
        /// The target.
        target: Target,
    },
    /// The join's future was ready.
    Associated {
        /// The attachment.
        seat: Seat,
        /// The target.
        target: Target,
        /// How far the join reaches.
        reach: Reach,
    },
    /// A connection is about to leave a target.
    Dissociating {
        /// The attachment.
        seat: Seat,
        /// The target.
        target: Target,
    },
    /// It left.
    Dissociated {
        /// The attachment.
        seat: Seat,
        /// The target.
        target: Target,
    },
    /// A connection is about to be detached, or its attachment to be dropped.
    Detaching(Seat),
    /// The call returned; nobody waited yet.
    Left(Seat),
    /// The awaited detach was ready, outside every sink.
    Detached(Seat),

    /// An event is about to be published.
    Publishing {
        /// The event.
        mark: Mark,
        /// On which node.
        node: NodeId,
        /// In which scope.
        scope: Scope,
        /// For whom.
        audience: Audience,
        /// On which lane the node relays it.
        lane: u32,
        /// The hash of its content.
        hash: u64,
        /// How many bytes its content has.
        bytes: u64,
    },
    /// The publish returned.
    Published {
        /// The event.
        mark: Mark,
        /// What the receipt says of the sinks here.
        tally: Tally,
        /// What it says of the relay.
        relay: Relayed,
    },
    /// A sink was called and is about to return, or to panic.
    Delivered {
        /// The attachment.
        seat: Seat,
        /// The event, if the bytes told.
        mark: Option<Mark>,
        /// The hash of what came.
        hash: u64,
        /// What the sink says of it.
        outcome: Outcome,
    },
    /// Someone who is no node put an event on the bus: whoever gets it may.
    Forged {
        /// The hash of its content.
        hash: u64,
    },

    /// A node handed a message to the bus, or tried to.
    Sent {
        /// Which node.
        origin: NodeId,
        /// On which lane.
        lane: u32,
        /// Under which number.
        number: u64,
        /// The number of the first message in the same frame.
        frame: u64,
        /// The event in it, if it is one that is marked.
        mark: Option<Mark>,
    },

    /// From now on something is wrong, and anything may be lost.
    Broken,
    /// Nothing is wrong any more.
    Healed,
    /// Whoever should have run did not, from then until now: the machine had no time. Anything may be late or
    /// lost for it.
    Stalled {
        /// Since when.
        since: Duration,
    },
    /// From now on the node does not hear the bus, whatever it believes.
    Cut(NodeId),
    /// It may hear the bus again.
    Mended(NodeId),
    /// So much of something is there.
    Level {
        /// What there is so much of, and where.
        what: String,
        /// How much.
        value: u64,
        /// How much there may be.
        cap: u64,
    },
}

/// How far a join reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Publishers on every node reach the connection.
    Everywhere,
    /// Those of this node do; the others will once the bus is up.
    Here,
    /// The join was refused.
    Nowhere,
}

/// What a receipt counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sinks that took it.
    pub accepted: usize,
    /// Sinks that had no room.
    pub full: usize,
    /// Sinks whose connection was gone.
    pub closed: usize,
    /// Sinks that panicked.
    pub panicked: usize,
}

impl fmt::Display for Tally {
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

/// What a receipt says of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relayed {
    /// It waits to be sent.
    Queued,
    /// It does not leave the node.
    Not,
}

/// What a sink did with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It took it.
    Accepted,
    /// It had no room.
    Full,
    /// It said that its connection is gone.
    Closed,
    /// It panicked.
    Panicked,
}

/// A node's name for people: the first bytes of its id.
pub(crate) fn name(node: NodeId) -> String {
    let [a, b, ..] = node.0;
    format!("node {a:02x}{b:02x}")
}
