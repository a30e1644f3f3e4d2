//! What a node tells its host.

use alloc::vec::Vec;

use super::run::Run;
use crate::audience::Audience;
use crate::bus::Lane;
use crate::event::Event;
use crate::node_id::NodeId;
use crate::question::{Answer, Question};
use crate::target::Scope;
use crate::time::Instant;

/// What the host is told, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// An event of another node, for whoever of the audience is here.
    Event {
        /// The scope of the audience.
        scope: Scope,
        /// Whom the event is for.
        audience: Audience,
        /// The event.
        event: Event,
    },
    /// Messages of another node did not come, and will not.
    Gap {
        /// Who sent them.
        origin: NodeId,
        /// On which lane.
        lane: Lane,
        /// Their numbers.
        run: Run,
    },
    /// We hear our own heartbeats: what others publish from now on comes, or is in a gap.
    Live,
    /// We may be deaf; the session is gone or is to be rebuilt.
    Down,
    /// We may have missed anything that was published between these moments of our clock.
    Deaf {
        /// By whom; `None` for all others, told when we are live again.
        origin: Option<NodeId>,
        /// When we last know to have heard.
        since: Instant,
        /// From when on everything comes or is in a gap.
        until: Instant,
    },
    /// A node was heard for the first time.
    Joined(NodeId),
    /// A node was not heard for ten heartbeats. Until it is heard again, what it publishes may be missing.
    Silent(NodeId),
    /// A node said that it leaves.
    Left(NodeId),
    /// Another node asks; [`Node::answer`](super::Node::answer) is to answer.
    Asked {
        /// Who asks.
        origin: NodeId,
        /// Its number of the question.
        id: u64,
        /// The scope of what the question names.
        scope: Scope,
        /// The question.
        question: Question,
    },
    /// The answers to a question of ours.
    Answered {
        /// The number that [`Node::ask`](super::Node::ask) gave.
        id: u64,
        /// What each node answered.
        answers: Vec<(NodeId, Answer)>,
        /// The members that did not.
        silent: Vec<NodeId>,
        /// Whether we were live all the while; if not, there may be members we do not know of.
        live: bool,
    },
    /// The session is to be dropped and another opened: our own heartbeats do not come back, or what came
    /// was not taken.
    Reconnect,
}

/// What was dropped and skipped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages heard before, or behind one that was.
    pub duplicates: u64,
    /// Messages that waited to be sent for longer than their time to live.
    pub expired: u64,
    /// Messages that arrived later than that.
    pub stale: u64,
    /// Frames of another version.
    pub unknown_versions: u64,
    /// Messages of a kind that this release does not know.
    pub unknown_kinds: u64,
    /// Frames and messages that are none.
    pub malformed: u64,
    /// Sessions given up since the host did not take what they brought.
    pub overflows: u64,
    /// Frames of nodes beyond [`Config::peers`](super::Config::peers) and on lanes beyond
    /// [`Config::lanes`](super::Config::lanes), and messages with numbers far beyond their origin's.
    pub strangers: u64,
}
