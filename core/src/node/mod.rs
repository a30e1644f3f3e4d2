//! The protocol between nodes, as a value: frames and the time go in, frames and news come out.
//!
//! A node does no I/O, reads no clock and takes no lock. The host tells it when a
//! [link](crate::bus::Link) begins and ends, hands it what arrives, what is published and the
//! instants its timer is due, and takes from it the frames to send and the [`News`].
//!
//! ```
//! use core::time::Duration;
//! use midplane_core::bus::Limits;
//! use midplane_core::envelope::NodeId;
//! use midplane_core::node::{Config, Intake, News, Node};
//! use midplane_core::{Event, Instant, Scope, Target};
//!
//! let mut now = Instant::ZERO;
//! let limits = Limits::new(1 << 20);
//! let intake = Intake::new(1, limits);
//! let mut nodes = [1, 2].map(|id| Node::new(NodeId([id; 16]), Config::default(), limits));
//! for node in &mut nodes {
//!     node.connected(now);
//! }
//! // A bus is whatever brings each frame to everyone, the sender among them.
//! for step in 0..20 {
//!     now += Duration::from_millis(100);
//!     if step == 10 {
//!         let audience = Target::topic("t")?.into();
//!         nodes[0].enqueue(intake.publish(now, &Scope::default(), &audience, &Event::text("hello"))?);
//!     }
//!     for sender in [0, 1] {
//!         nodes[sender].tick(now);
//!         while let Some(sent) = nodes[sender].transmit(now) {
//!             nodes.iter_mut().for_each(|node| node.receive(now, &sent.frame));
//!         }
//!     }
//! }
//! let news: Vec<News> = core::iter::from_fn(|| nodes[1].news()).collect();
//! assert!(news.iter().any(|news| matches!(news, News::Event { event, .. } if event == &Event::text("hello"))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised of the bus
//!
//! Nothing of a bus is trusted but that it sometimes works. Numbers run per (origin, lane): one heard
//! before is dropped, one skipped is reported as a [`News::Gap`]. A heartbeat every few seconds reports
//! to every node how far the numbers have come, so a lost tail shows too. A node is live only while its own
//! heartbeats come back; after a time in which they did not, it says between which instants it was
//! [deaf](News::Deaf).
//!
//! # Who can write to the bus
//!
//! Frames are not signed: a program that can write to the bus can publish as any node. It cannot keep an origin
//! from being heard. A number far beyond the origin's is not believed before a heartbeat reports it. One
//! less far, or in a forged heartbeat, is: what lies below it is reported as a gap, and nothing of that
//! origin and lane is delivered until its heartbeats show that the number was never sent, at most eight
//! heartbeats after the last forgery and the next event on the lane. While that goes on, a loss that the
//! forgery hides may go unreported.

mod config;
mod intake;
mod news;
mod offset;
mod outbox;
mod peer;
mod questions;
mod receive;
mod run;
mod sequence;

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use bytes::Bytes;

pub use config::{Config, MAX_LANES};
pub use intake::{Intake, Queued};
pub use news::{News, NodeCounters};
pub use run::Run;

use crate::bus::{Lane, Limits, Outbound};
use crate::envelope::{Decoded, Frame};
use crate::node_id::NodeId;
use crate::time::Instant;
use outbox::Outbox;
use peer::Peer;
use questions::Questions;

/// After how many silent heartbeats a peer is no member any more.
const SILENCE: u32 = 10;

/// How many nodes answer a hello at once, each within half of the time that an answer may take. With N times as many,
/// each node waits up to N times as long: every node receives all the answers, and they come no faster than those of 16.
const ANSWERING: u32 = 16;

/// What a frame counts beside its bytes while its news is not taken, in bytes.
const FRAME: usize = 64;

/// One node's part in the protocol.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    config: Config,
    limits: Limits,
    outbox: Outbox,
    intake: Intake,
    link: LinkHealth,
    /// When the last heartbeat was made, and the next one is due, while there is a link.
    last_beat: Instant,
    next_beat: Instant,
    /// When our own heartbeats were sent that did not come back yet, oldest first.
    unheard: VecDeque<Instant>,
    /// When the latest of our heartbeats that came back was sent.
    proven: Option<Instant>,
    /// When we were live first: from then on what others publish is ours to account for.
    first_live: Option<Instant>,
    /// Since when we may have missed something, while we are not live and were before.
    deaf_since: Option<Instant>,
    peers: BTreeMap<NodeId, Peer>,
    /// The lanes that the link has subscribed, and since when.
    subscribed: BTreeMap<Lane, Instant>,
    questions: Questions,
    news: VecDeque<News>,
    /// The bytes of the frames that came since all news was taken.
    unread: usize,
    counters: NodeCounters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkHealth {
    Down,
    /// A link is up since this moment; our own heartbeat has not come back, or the others have not
    /// had the time to answer it.
    Joining(Instant),
    Live(Instant),
}

impl Node {
    /// A node without a link. The id must be fresh for every start of a process: it tells the
    /// numbers of one start from those of another.
    #[must_use]
    pub fn new(id: NodeId, config: Config, limits: Limits) -> Self {
        let config = config.checked();
        Self {
            id,
            config,
            limits,
            outbox: Outbox::new(id, limits.frame),
            intake: Intake::new(config.lanes, limits),
            link: LinkHealth::Down,
            last_beat: Instant::ZERO,
            next_beat: Instant::ZERO,
            unheard: VecDeque::new(),
            proven: None,
            first_live: None,
            deaf_since: None,
            peers: BTreeMap::new(),
            subscribed: BTreeMap::from([(Lane(0), Instant::ZERO)]),
            questions: Questions::default(),
            news: VecDeque::new(),
            unread: 0,
            counters: NodeCounters::default(),
        }
    }

    /// A link is up and has subscribed [`lanes`](Self::lanes).
    pub fn connected(&mut self, now: Instant) {
        self.disconnected();
        self.link = LinkHealth::Joining(now);
        self.unheard.clear();
        self.proven = None;
        self.beat(now, true);
    }

    /// The link is gone.
    pub fn disconnected(&mut self) {
        if let LinkHealth::Live(since) = self.link {
            self.deaf_since = Some(self.proven.unwrap_or(since));
            self.news.push_back(News::Down);
            self.mark_incomplete();
        }
        self.link = LinkHealth::Down;
    }

    /// Whether others' events come, as far as we can know.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.link, LinkHealth::Live(_))
    }

    /// The lanes that the link should be subscribed to; lane 0 always is.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> {
        self.subscribed.keys().copied()
    }

    /// The link has subscribed the lane: its events count from now on.
    pub fn subscribed(&mut self, now: Instant, lane: Lane) {
        if lane.0 < self.config.lanes && !self.subscribed.contains_key(&lane) {
            self.subscribed.insert(lane, now);
            self.peers
                .values_mut()
                .for_each(|peer| peer.join_lane(lane));
        }
    }

    /// The link brings the lane no longer. Lane 0 stays.
    pub fn unsubscribed(&mut self, lane: Lane) {
        if lane != Lane(0) {
            self.subscribed.remove(&lane);
        }
    }

    /// Queues a message of an [`Intake`] for the other nodes, also while there is no link.
    ///
    /// The node does not bound what waits: what lets messages in has the budget, as the queue of a
    /// [`Cluster`](crate::Cluster) does.
    pub fn enqueue(&mut self, queued: Queued) {
        self.outbox.push(queued);
    }

    /// Gives up what waits for longer than its time to live, link or not; gives how much. The numbers are
    /// used up, so others see a gap.
    pub fn expire(&mut self, now: Instant) -> u64 {
        let expired = self.outbox.expire(now, self.config.time_to_live);
        self.counters.expired += expired;
        expired
    }

    /// The next frame to send, while there is a link.
    pub fn transmit(&mut self, now: Instant) -> Option<Outbound> {
        if self.link == LinkHealth::Down {
            return None;
        }
        self.expire(now);
        self.outbox.frame(now)
    }

    /// A frame arrived, from anyone. Without a link it is ignored.
    ///
    /// All [`news`](Self::news) is to be taken before the next: where more frames than
    /// [`Config::queue`] holds came since, the link is to be rebuilt, and what came is lost as if
    /// the bus had lost it.
    pub fn receive(&mut self, now: Instant, frame: &Bytes) {
        let unread = self.unread + frame.len() + FRAME;
        if self.is_stalled(now) {
            self.rebuild();
        } else if unread > self.config.queue
            && !self.news.is_empty()
            && self.link != LinkHealth::Down
        {
            self.counters.overflows += 1;
            self.rebuild();
        }
        if self.link == LinkHealth::Down {
            return;
        }
        self.unread = unread;
        match Frame::decode(frame, self.limits.frame) {
            Ok(Decoded::Frame(frame)) if frame.header().origin == self.id => {
                self.receive_own(now, &frame);
            }
            Ok(Decoded::Frame(frame)) => self.receive_other(now, &frame),
            Ok(Decoded::UnknownVersion(_)) => self.counters.unknown_versions += 1,
            Err(_) => self.counters.malformed += 1,
        }
    }

    /// Does what is due. To be called at [`timeout`](Self::timeout), and harmless at any time.
    pub fn tick(&mut self, now: Instant) {
        self.close_questions(now);
        if self.link == LinkHealth::Down {
            return;
        }
        if self.canary().is_some_and(|due| now > due) || self.is_stalled(now) {
            self.rebuild();
            return;
        }
        self.go_live(now);
        if now >= self.next_beat {
            self.beat(now, false);
        }
        if self.is_live() {
            self.report_silence(now);
        }
    }

    /// When [`tick`](Self::tick) is due next, on the clock that `now` is of.
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        let settled = match self.link {
            LinkHealth::Down => return self.questions_due(),
            LinkHealth::Joining(since) => self.proven.map(|_| since + self.introduced()),
            LinkHealth::Live(_) => None,
        };
        let canary = self.canary().map(|due| due + TICK);
        [Some(self.next_beat), settled, canary, self.questions_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next news for the host.
    pub fn news(&mut self) -> Option<News> {
        let news = self.news.pop_front();
        if self.news.is_empty() {
            self.unread = 0;
        }
        news
    }

    /// The other nodes that sent a heartbeat lately, with the version each said it runs.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &str)> {
        let proven = self.peers.iter().filter(|(_, peer)| peer.member);
        proven.map(|(id, peer)| (*id, peer.version.as_str()))
    }

    /// How many other nodes are kept track of, at most [`Config::peers`].
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// What was dropped and skipped.
    #[must_use]
    pub fn counters(&self) -> NodeCounters {
        self.counters
    }

    /// How many messages wait to be sent.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.outbox.len()
    }

    /// How many bytes of messages wait to be sent.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Since when the oldest of the messages that wait does.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.outbox.oldest()
    }

    /// The others answer a hello within this time, or are judged by their next heartbeat.
    fn settle(&self) -> Duration {
        self.config.heartbeat / 8
    }

    /// How soon after a heartbeat a hello is answered with another, which serves all who greeted meanwhile. After
    /// an outage every node greets: were each answered by every other, what goes around would grow with the
    /// square of their number, and the bus might lose their links of it, and be greeted again.
    fn answers_after(&self) -> Duration {
        let members = u32::try_from(self.members().count()).unwrap_or(u32::MAX);
        let pause = (self.settle() / 2).saturating_mul((members / ANSWERING).max(1));
        pause.min(self.config.heartbeat)
    }

    /// How long after a link began the others have answered our hello. A node that was live before knows them.
    fn introduced(&self) -> Duration {
        match self.first_live {
            Some(_) => self.settle(),
            None => self.answers_after() + self.settle() / 2,
        }
    }

    /// How long we may be without a heartbeat of our own that came back: two are missed by then.
    fn patience(&self) -> Duration {
        self.config.heartbeat * 2 + self.settle()
    }

    /// Until when the next heartbeat of our own has to come back.
    fn canary(&self) -> Option<Instant> {
        match self.link {
            LinkHealth::Down => None,
            LinkHealth::Joining(since) | LinkHealth::Live(since) => {
                Some(self.proven.unwrap_or(since) + self.patience())
            }
        }
    }

    /// Whether the node was not run for over two heartbeats: frames that wait in its link may then be of any age.
    #[must_use]
    pub fn is_stalled(&self, now: Instant) -> bool {
        self.link != LinkHealth::Down && now - self.next_beat > self.patience()
    }

    fn rebuild(&mut self) {
        self.disconnected();
        self.news.push_back(News::Reconnect);
    }

    fn beat(&mut self, now: Instant, hello: bool) {
        self.outbox.beat(now, hello, self.config.heartbeat);
        self.unheard.push_back(now);
        self.last_beat = now;
        self.next_beat = now + self.config.heartbeat;
    }

    fn go_live(&mut self, now: Instant) {
        let LinkHealth::Joining(since) = self.link else {
            return;
        };
        if self.proven.is_none() || now - since < self.introduced() {
            return;
        }
        self.link = LinkHealth::Live(now);
        if self.first_live.is_none() {
            self.first_live = Some(now);
            self.peers.values_mut().for_each(Peer::join);
        }
        self.peers.values_mut().for_each(|peer| peer.heard = now);
        self.news.push_back(News::Live);
        if let Some(since) = self.deaf_since.take() {
            let (origin, lane, until) = (None, None, now);
            self.news.push_back(News::Deaf {
                origin,
                lane,
                since,
                until,
            });
        }
    }

    fn report_silence(&mut self, now: Instant) {
        let patience = self.config.heartbeat * SILENCE;
        for (id, peer) in &mut self.peers {
            if peer.member && now - peer.heard > patience {
                // Its numbers are kept: should it come back, they show what was lost.
                peer.member = false;
                self.news.push_back(News::Silent(*id));
            }
        }
    }
}

/// The wire counts microseconds.
const TICK: Duration = Duration::from_micros(1);
