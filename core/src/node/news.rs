//! The news of a node to its host.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::run::Run;
use crate::audience::Audience;
use crate::bus::Lane;
use crate::event::Event;
use crate::member::Difference;
use crate::node_id::NodeId;
use crate::question::{Answer, Question};
use crate::target::Scope;
use crate::time::Instant;

/// One piece of news for the host, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// An event of another node, for the connections of the audience on this node.
    Event {
        /// The scope of the audience.
        scope: Scope,
        /// The audience of the event.
        audience: Audience,
        /// The event.
        event: Event,
    },
    /// Events of another node did not come, and will not.
    Gap {
        /// The node that published the events.
        origin: NodeId,
        /// The lane of the events.
        lane: Lane,
        /// The sequence numbers of the events, one for each.
        run: Run,
        /// The earliest instant, on the clock of this node, at which one of them can have been published.
        since: Instant,
        /// The latest such instant.
        until: Instant,
    },
    /// Our own heartbeats come back: what others publish arrives, is sent again, or is reported.
    Live,
    /// Deafness may have begun; the link is gone or is to be rebuilt.
    Down,
    /// Deafness: the node may have missed anything that another one published between these instants of its clock.
    Deaf {
        /// The node whose events may be missing; `None` for nodes that are not kept track of: those that died in an outage so
        /// long that no other node remembers them, and those beyond [`Config::peers`](super::Config::peers).
        origin: Option<NodeId>,
        /// The lane of the events; `None` for every lane.
        lane: Option<Lane>,
        /// The earliest instant at which a missing event can have been published.
        since: Instant,
        /// The latest such instant.
        until: Instant,
    },
    /// A node was heard for the first time.
    Joined(NodeId),
    /// A member was not heard for two of its heartbeats and an eighth while the bus is well, or for ten however it is. Until it
    /// is heard again, what it publishes may be missing.
    Silent(NodeId),
    /// A node said that it leaves.
    Left(NodeId),
    /// A member has another setting, or a node of another cluster is on the same bus.
    Differs(Difference),
    /// Another node asks; [`Node::answer`](super::Node::answer) is to answer.
    Asked {
        /// The node that asks.
        origin: NodeId,
        /// The number of the question at that node.
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
    /// The link is to be dropped and another opened: our own heartbeats do not come back, or what came
    /// was not taken.
    Reconnect,
}

/// What a frame counts beside its bytes while its news is not taken, in bytes.
const FRAME: usize = 64;

/// The news that waits to be taken.
#[derive(Debug, Default)]
pub(super) struct NewsQueue {
    news: VecDeque<News>,
    /// The bytes of the frames that came since all news was taken.
    unread: usize,
}

impl NewsQueue {
    pub(super) fn push(&mut self, news: News) {
        self.news.push_back(news);
    }

    pub(super) fn pop(&mut self) -> Option<News> {
        let news = self.news.pop_front();
        if self.news.is_empty() {
            self.unread = 0;
        }
        news
    }

    pub(super) fn is_empty(&self) -> bool {
        self.news.is_empty()
    }

    /// The frames that came since all news was taken take this number of bytes, with another of this size.
    pub(super) fn with_frame(&self, bytes: usize) -> usize {
        self.unread + bytes + FRAME
    }

    /// A frame of this size came.
    pub(super) fn frame_came(&mut self, bytes: usize) {
        self.unread = self.with_frame(bytes);
    }

    /// Numbers will not come that were used between these moments. Runs that follow each other are one gap: a frame of
    /// which nothing is delivered is one.
    pub(super) fn gap(
        &mut self,
        origin: NodeId,
        lane: Lane,
        run: Run,
        (since, until): (Instant, Instant),
    ) {
        if let Some(News::Gap {
            origin: of,
            lane: on,
            run: before,
            since: begin,
            until: end,
        }) = self.news.back_mut()
            && (*of, *on) == (origin, lane)
            && before.last.checked_add(1) == Some(run.first)
        {
            before.last = run.last;
            (*begin, *end) = (since.min(*begin), until.max(*end));
            return;
        }
        self.push(News::Gap {
            origin,
            lane,
            run,
            since,
            until,
        });
    }

    /// Anything that was used between these moments may be missing.
    pub(super) fn deaf(
        &mut self,
        origin: Option<NodeId>,
        lane: Option<Lane>,
        (since, until): (Instant, Instant),
    ) {
        let since = since.min(until);
        self.push(News::Deaf {
            origin,
            lane,
            since,
            until,
        });
    }
}

/// What was dropped and skipped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeCounters {
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
    /// Frames that came on another lane than they were sent on.
    pub misplaced: u64,
    /// Frames without a signature, counted where frames are verified. They are dropped if signatures are required.
    pub unsigned: u64,
    /// Frames by a key that is not known here. They are dropped if signatures are required.
    pub unknown_keys: u64,
    /// Frames whose signature is wrong, dropped.
    pub wrong_tags: u64,
    /// Links given up since the host did not take what they brought.
    pub overflows: u64,
    /// Frames of nodes of another cluster, none of which was taken.
    pub foreign: u64,
    /// Frames of nodes beyond [`Config::peers`](super::Config::peers), on lanes beyond
    /// [`Config::lanes`](super::Config::lanes) or with stamps of the future, and nodes that were never proven to live.
    pub implausible: u64,
    /// Requests to other nodes to send events again.
    pub asks: u64,
    /// Frames sent again for other nodes.
    pub repairs: u64,
    /// The events of these frames.
    pub repaired: u64,
    /// Frames dropped beyond [`Config::hold`](super::Config::hold); they are asked for again.
    pub unheld: u64,
}
