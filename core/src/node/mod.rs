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
//! Nothing of a bus is trusted but that it sometimes works. What carries an event has a number, per (origin, lane). A
//! number heard before is dropped; one that is skipped, or that a heartbeat reports and that does not come, is asked
//! for, and its origin [sends it again](Config::keep) under the same number. What came behind it waits meanwhile, in
//! order and within bounds; other lanes and other origins never do. Only what cannot be sent again is reported, as a
//! [`News::Gap`], and what an origin sent that is not heard any more as [`News::Deaf`]. A node is live only while its own
//! heartbeats come back.
//!
//! # How long a hole is waited for
//!
//! What is missing is asked for after a random part of a sixteenth of a heartbeat, and again after one sixteenth, an
//! eighth, and so on up to a whole one. It is given up half a heartbeat and two round trips after the origin said that it
//! heard the ask, or after the last frame that it sent again, and not before a frame has come that the origin made after
//! that: a lane that stands still brings neither. What the origin does not keep any more it says with the answer, and
//! that is reported at once.
//!
//! # Who can write to the bus
//!
//! Frames are not signed: a program that can write to the bus can publish as any node. It cannot keep an origin
//! from being heard. A number that a later heartbeat does not report is dropped unseen, where others wait in front of it.
//! One that was believed hides what the origin sends under lower numbers until its next heartbeat, and then
//! [`News::Deaf`] says so. Nothing of an origin is delivered before one of its heartbeats names a stamp of this node, so a
//! recording that does not know this node is worth nothing to it.

mod bucket;
mod clock;
mod config;
mod flow;
mod intake;
mod line;
mod news;
mod origin;
mod peer;
mod pulse;
mod questions;
mod receive;
mod run;
mod wait;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

pub use config::{Config, MAX_LANES};
pub use intake::{Intake, Queued};
pub use news::{News, NodeCounters};
pub use run::Run;

use crate::bus::{Lane, Limits, Outbound};
use crate::envelope::{
    Ask, Decoded, Encoded, Frame, FrameWriter, Header, Heard, Heartbeat, Left, MAX_RUNS, Message,
};
use crate::node_id::NodeId;
use crate::random::Random;
use crate::receipt::Refusal;
use crate::time::Instant;
use origin::Origin;
use peer::{Moment, Peer, Standing};
use pulse::{Link, Pulse};
use questions::Questions;

/// After how many silent heartbeats a peer is no member any more.
const SILENCE: u32 = 10;

/// After how many heartbeats without anything on a lane, where the origin heard an ask for more, the lane is deaf.
const DEAF_LANE: u32 = 8;

/// How many nodes answer a hello at once, each within half of the time that an answer may take. With N times as many,
/// each node waits up to N times as long: every node receives all the answers, and they come no faster than those of 16.
const ANSWERING: u32 = 16;

/// What a frame counts beside its bytes while its news is not taken, in bytes.
const FRAME: usize = 64;

/// The most nodes that a heartbeat names as heard, in turn if there are more: about 1 KiB.
const NAMED: usize = 40;

/// The most nodes that left which a heartbeat names, and the most lanes of each.
const LEFT: usize = 64;
const LEFT_LANES: usize = 64;

/// The most that a heartbeat takes beside its lists, and with each lane, in bytes.
const HEARTBEAT: usize = 128;
const PROGRESS: usize = 5 + 4 * 10;

/// The most messages without a number that wait to be sent.
const CONTROL: usize = 4_096;

/// The software's version, as heartbeats report it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The wire counts microseconds.
const TICK: Duration = Duration::from_micros(1);

/// One node's part in the protocol.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    config: Config,
    limits: Limits,
    intake: Intake,
    random: Random,
    pulse: Pulse,
    /// When the node was live first, and when what it received last came while it was.
    lived: Option<Instant>,
    away: Option<Instant>,
    origin: Origin,
    /// What waits to be sent without a number, and since when.
    control: VecDeque<(Instant, Encoded)>,
    /// Members that were known when the link began and were not heard on it, and until when what is published waits
    /// for them.
    awaited: BTreeSet<NodeId>,
    opens: Option<Instant>,
    /// When silent nodes were heard last of which nothing else is known any more, at most as many as there may be peers.
    forgotten: BTreeMap<NodeId, Instant>,
    /// When the goodbye is said, once the node leaves.
    leaving: Leaving,
    peers: BTreeMap<NodeId, Peer>,
    members: usize,
    /// The flows with numbers that are missing, and the bytes that all flows hold.
    waiting: BTreeSet<(NodeId, Lane)>,
    held: usize,
    /// The origins that are to be asked to send something again.
    asking: BTreeSet<NodeId>,
    /// Whether a node has come that is to be told who left.
    greeted: bool,
    /// The lanes that are subscribed, and since when they are ours to receive.
    subscribed: BTreeMap<Lane, Instant>,
    /// When a frame came last on each of these lanes.
    lane_heard: BTreeMap<Lane, Instant>,
    questions: Questions,
    news: VecDeque<News>,
    /// The bytes of the frames that came since all news was taken.
    unread: usize,
    counters: NodeCounters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// Until then the node answers those that miss something.
    At(Instant),
    Done,
}

impl Node {
    /// A node without a link. The id must be fresh for every start of a process: it tells the
    /// numbers of one start from those of another.
    #[must_use]
    pub fn new(id: NodeId, config: Config, limits: Limits) -> Self {
        let config = config.checked();
        let seed = u128::from_le_bytes(id.0);
        Self {
            id,
            config,
            limits,
            intake: Intake::new(config.lanes, limits),
            random: Random::new((seed ^ (seed >> 64)) as u64),
            pulse: Pulse::new(config.heartbeat),
            lived: None,
            away: None,
            origin: Origin::new(id, limits.frame),
            control: VecDeque::new(),
            awaited: BTreeSet::new(),
            forgotten: BTreeMap::new(),
            opens: None,
            leaving: Leaving::No,
            peers: BTreeMap::new(),
            members: 0,
            waiting: BTreeSet::new(),
            held: 0,
            asking: BTreeSet::new(),
            greeted: false,
            subscribed: BTreeMap::new(),
            lane_heard: BTreeMap::new(),
            questions: Questions::default(),
            news: VecDeque::new(),
            unread: 0,
            counters: NodeCounters::default(),
        }
    }

    /// A link is up and has subscribed [`lanes`](Self::lanes).
    pub fn connected(&mut self, now: Instant) {
        self.disconnected();
        self.pulse.connected(now);
        self.subscribed.entry(Lane(0)).or_insert(now);
        let members = self.peers.iter().filter(|(_, peer)| peer.is_member());
        self.awaited = members.map(|(id, _)| *id).collect();
        self.lane_heard.clear();
        let departed = self
            .peers
            .values_mut()
            .filter_map(|peer| peer.settles.as_mut());
        departed.for_each(|settles| *settles = (*settles).max(now + self.config.heartbeat * 2));
        // Before what is found of each lane: connections need no other report then.
        if let Some(since) = self.away {
            self.report_forgotten(now, since);
        }
    }

    /// The link is gone.
    pub fn disconnected(&mut self) {
        if self.is_live() {
            self.away = Some(self.pulse.proven());
            self.news.push_back(News::Down);
            self.mark_incomplete();
        }
        self.pulse.link = Link::Down;
        self.opens = None;
        self.waiting.clear();
        self.asking.clear();
        self.peers.values_mut().for_each(Peer::disconnected);
    }

    /// Whether others' events come, as far as we can know.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.pulse.link == Link::Live
    }

    /// The lanes that the link should be subscribed to; lane 0 always is.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> {
        let others = self.subscribed.keys().filter(|lane| **lane != Lane(0));
        core::iter::once(Lane(0)).chain(others.copied())
    }

    /// The lane is subscribed, and its events count that were published from `since` on: those that came before the
    /// subscription are sent again. Of a lane that was subscribed already the earlier moment counts; lane 0 is ours from
    /// the first link on, unless this says an earlier one.
    pub fn subscribed(&mut self, since: Instant, lane: Lane) {
        if lane.0 < self.config.lanes {
            let ours = self.subscribed.entry(lane).or_insert(since);
            *ours = since.min(*ours);
        }
    }

    /// The link brings the lane no longer. Lane 0 stays.
    pub fn unsubscribed(&mut self, lane: Lane) {
        if lane != Lane(0) {
            self.subscribed.remove(&lane);
            self.lane_heard.remove(&lane);
            for (id, peer) in &mut self.peers {
                if let Some(flow) = peer.flows.remove(&lane) {
                    self.held -= flow.held_bytes();
                    self.waiting.remove(&(*id, lane));
                }
            }
        }
    }

    /// Queues a message of an [`Intake`] for the other nodes, also while there is no link.
    ///
    /// The node does not bound what waits: what lets messages in has the budget, as the queue of a
    /// [`Cluster`](crate::Cluster) does.
    pub fn enqueue(&mut self, queued: Queued) {
        self.origin.push(queued);
    }

    /// Queues a message that has no number.
    fn enqueue_control(&mut self, now: Instant, message: &Message) -> Result<(), Refusal> {
        if self.control.len() >= CONTROL {
            return Err(Refusal::Full);
        }
        let queued = self.intake.message(now, Lane(0), message)?;
        self.control.push_back((now, queued.message));
        Ok(())
    }

    /// Gives up what waits for longer than its time to live, link or not; gives how much. The numbers are
    /// used up, so others see a gap.
    pub fn expire(&mut self, now: Instant) -> u64 {
        let ttl = self.config.time_to_live;
        let expired = self.origin.expire(now, ttl);
        self.counters.expired += expired;
        while self
            .control
            .front()
            .is_some_and(|(since, _)| now - *since > ttl)
        {
            self.control.pop_front();
        }
        expired
    }

    /// The bus does not take a frame that [`transmit`](Self::transmit) gave: the frame, and what was sent on its lane
    /// before, will not be sent again. Gives how many events the frame has.
    pub fn refused(&mut self, outbound: &Outbound) -> u64 {
        let Ok(Decoded::Frame(frame)) = Frame::decode(&outbound.frame, usize::MAX) else {
            return 0;
        };
        if frame.header().first > 0 {
            self.origin.refuse(outbound.lane, frame.header().first);
        }
        frame.numbered()
    }

    /// The next frame to send, while there is a link.
    pub fn transmit(&mut self, now: Instant) -> Option<Outbound> {
        if self.pulse.link == Link::Down {
            return None;
        }
        self.expire(now);
        if let Some(frame) = self.control_frame(now) {
            let lane = Lane(0);
            return Some(Outbound { lane, frame });
        }
        // What is sent before anybody can have heard us would have to be sent again.
        if !self.is_live() {
            return None;
        }
        if self
            .opens
            .is_some_and(|opens| self.awaited.is_empty() || now >= opens)
        {
            self.opens = None;
            self.origin.open(now, self.config.heartbeat);
        }
        let (members, open) = (self.members, self.opens.is_none());
        let slow = self.pulse.is_slow();
        self.origin.frame(now, &self.config, members, open, slow)
    }

    /// A frame arrived by `now`, from anyone. Without a link it is ignored.
    ///
    /// The clock is to be read after the frame was there: what the node knows of the other's clock is wrong for eight
    /// heartbeats if it was read before the frame was sent.
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
            && self.pulse.link != Link::Down
        {
            self.counters.overflows += 1;
            self.rebuild();
        }
        if self.pulse.link == Link::Down {
            return;
        }
        self.unread = unread;
        match Frame::decode(frame, self.limits.frame) {
            Ok(Decoded::Frame(frame)) if frame.header().origin == self.id => {
                let stamp = frame.header().stamp;
                self.lane_heard.insert(Lane(frame.header().lane), now);
                self.pulse.came_back(now, stamp);
                self.go_live(now);
            }
            Ok(Decoded::Frame(frame)) => self.receive_other(now, frame),
            Ok(Decoded::UnknownVersion(_)) => self.counters.unknown_versions += 1,
            Err(_) => self.counters.malformed += 1,
        }
    }

    /// Does what is due. To be called at [`timeout`](Self::timeout), and harmless at any time.
    pub fn tick(&mut self, now: Instant) {
        self.close_questions(now);
        if self.pulse.link == Link::Down {
            return;
        }
        let deaf = self.pulse.deadline().is_some_and(|due| now > due);
        if deaf || self.is_stalled(now) || self.is_deaf_on_a_lane(now) {
            self.rebuild();
            return;
        }
        self.go_live(now);
        self.pulse.tick(now);
        if matches!(self.leaving, Leaving::At(at) if at <= now) {
            self.pulse.beat(now);
        }
        if self.is_live() {
            self.report_silence(now);
        }
        self.tick_flows(now);
    }

    /// When [`tick`](Self::tick) or [`transmit`](Self::transmit) is due next, on the clock that `now` is of.
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        let repairs = self.origin.due(self.opens.is_none());
        let transmit = repairs.into_iter().chain(self.opens).min();
        let transmit = transmit.filter(|_| self.is_live());
        transmit.into_iter().chain(self.tick_due()).min()
    }

    /// When [`tick`](Self::tick) alone is due next: all that matters while nothing can be sent.
    #[must_use]
    pub fn tick_due(&self) -> Option<Instant> {
        let since = self.pulse.connected;
        let link = match self.pulse.link {
            Link::Down => return self.questions_due(),
            Link::Joining => self.pulse.is_proven().then(|| since + self.joins_after()),
            Link::Live => None,
        };
        let leaving = match self.leaving {
            Leaving::At(at) if !self.pulse.due => Some(at),
            _ => None,
        };
        let deadline = self.pulse.deadline().map(|due| due + TICK);
        let flows = self.flows_due();
        [
            Some(self.pulse.next()),
            link,
            leaving,
            deadline,
            flows,
            self.questions_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether there is [`news`](Self::news).
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
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
        let members = self.peers.iter().filter(|(_, peer)| peer.is_member());
        members.map(|(id, peer)| (*id, peer.version.as_str()))
    }

    /// How many other nodes are kept track of, at most [`Config::peers`].
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// What was dropped and skipped.
    #[must_use]
    pub fn counters(&self) -> NodeCounters {
        let (repairs, repaired) = self.origin.repairs();
        NodeCounters {
            repairs,
            repaired,
            ..self.counters
        }
    }

    /// How many messages wait to be sent.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.origin.len()
    }

    /// How many bytes of messages wait to be sent.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.origin.bytes()
    }

    /// How many bytes of frames are kept to be sent again, and how many wait for others in front of them.
    #[must_use]
    pub fn repair_bytes(&self) -> (usize, usize) {
        (self.origin.kept_bytes(), self.held)
    }

    /// Since when the oldest of the messages that wait does.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.origin.oldest()
    }

    /// Whether the node was not run for over two heartbeats: frames that wait in its link may then be of any age.
    #[must_use]
    pub fn is_stalled(&self, now: Instant) -> bool {
        self.pulse.is_stalled(now)
    }

    /// Begins to leave: what was sent is reported once more and, for a quarter of a heartbeat, sent again to nodes that
    /// miss some of it. Then the node says goodbye, the last thing to send.
    pub fn leave(&mut self, now: Instant) {
        let lonely = self.members == 0;
        let stay = if lonely {
            Duration::ZERO
        } else {
            self.config.heartbeat / 4
        };
        self.leaving = Leaving::At(now + stay);
        self.pulse.beat(now);
    }

    /// Whether the goodbye was made.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.leaving == Leaving::Done
    }

    /// The next frame without events.
    fn control_frame(&mut self, now: Instant) -> Option<Bytes> {
        if !self.pulse.due && self.asking.is_empty() && self.control.is_empty() {
            return None;
        }
        let stamp = self.origin.stamp(now);
        let header = Header {
            stamp,
            before: stamp,
            ..Header::new(self.id, 0, 0)
        };
        let mut writer = FrameWriter::new(header, self.limits.frame).ok()?;
        if self.pulse.due {
            let heartbeat = self.heartbeat_at(now);
            // A heartbeat fits every frame, for its lists are cut to fit.
            let _ = writer.push(&Message::Heartbeat(heartbeat));
        }
        while let Some(origin) = self.asking.pop_first() {
            let Some(ask) = self.ask_of(now, origin, stamp) else {
                continue;
            };
            if writer.push(&Message::Ask(ask)).is_err() {
                break;
            }
            self.counters.asks += 1;
        }
        while let Some((_, message)) = self.control.front()
            && writer.push_encoded(message).is_ok()
        {
            self.control.pop_front();
        }
        self.pulse.made(now, stamp);
        (writer.messages() > 0).then(|| writer.finish())
    }

    /// The heartbeat that is due. Where the lanes that are to be listed do not fit a frame, another is due behind it.
    fn heartbeat_at(&mut self, now: Instant) -> Heartbeat {
        let remembered = self.config.remembered();
        let since = (now - remembered).since_origin();
        let room = self.limits.frame.saturating_sub(HEARTBEAT + NAMED * 40) / PROGRESS;
        let behind = self.origin.has_more_progress();
        let (lanes, whole) = self.origin.progress(since, room.max(1));
        let since = if whole { Duration::ZERO } else { since };
        self.pulse.due = self.origin.has_more_progress();
        let goodbye = matches!(self.leaving, Leaving::At(at) if at <= now) && !self.pulse.due;
        if goodbye {
            self.leaving = Leaving::Done;
        }
        let greeted = core::mem::take(&mut self.greeted);
        let heard = self.heard(now);
        if self.peers.values().any(|peer| peer.owed) {
            self.pulse.hasten(now, self.settle() / 2);
        }
        Heartbeat {
            version: String::from(VERSION),
            hello: core::mem::take(&mut self.pulse.hello),
            goodbye,
            partial: behind || self.pulse.due,
            since,
            lanes,
            heard,
            left: if greeted { self.left(now) } else { Vec::new() },
        }
    }

    /// The nodes that were heard lately, those first that wait to be named.
    fn heard(&mut self, now: Instant) -> Vec<Heard> {
        let remembered = self.config.remembered();
        let mut heard: Vec<(bool, Option<Instant>, NodeId)> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.latest.is_some_and(|(_, at)| now - at <= remembered))
            .map(|(id, peer)| (!peer.owed, peer.named, *id))
            .collect();
        heard.sort_unstable();
        heard.truncate(NAMED);
        let mut named = Vec::new();
        for (.., node) in heard {
            let Some(peer) = self.peers.get_mut(&node) else {
                continue;
            };
            (peer.owed, peer.named) = (false, Some(now));
            if let Some((stamp, at)) = peer.latest {
                let ago = now - at;
                named.push(Heard { node, stamp, ago });
            }
        }
        named
    }

    /// The nodes that left lately.
    fn left(&self, now: Instant) -> Vec<Left> {
        let left = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.standing == Standing::Left && peer.last.len() <= LEFT_LANES);
        let left = left.take(LEFT).map(|(node, peer)| Left {
            node: *node,
            ago: now - peer.heard,
            lanes: peer.last.clone(),
        });
        left.collect()
    }

    /// What is to be asked of the origin.
    fn ask_of(&mut self, now: Instant, origin: NodeId, stamp: Duration) -> Option<Ask> {
        let moment = self.moment(now);
        let peer = self.peers.get_mut(&origin)?;
        peer.asked = now;
        let mut runs = Vec::new();
        let mut waiting = self
            .waiting
            .range((origin, Lane(0))..=(origin, Lane(u32::MAX)));
        while runs.len() < MAX_RUNS
            && let Some((_, lane)) = waiting.next()
        {
            let since = self.subscribed.get(lane)?;
            let (flow, view) = peer.flow(moment, *lane, *since);
            // What is due within a little while goes with it.
            if flow.is_asking(now + moment.heartbeat / 32) {
                flow.ask(&view, lane.0, stamp, MAX_RUNS, &mut runs);
            }
        }
        let to = origin;
        (!runs.is_empty()).then_some(Ask { to, runs })
    }

    fn moment(&mut self, now: Instant) -> Moment {
        let heartbeat = self.config.heartbeat;
        // Of many nodes that miss the same, the first to ask spares the others.
        let members = u32::try_from(self.members).unwrap_or(u32::MAX);
        let spread = (heartbeat / 32)
            .saturating_mul(1 + members / 16)
            .min(heartbeat / 2);
        let nanos = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX);
        Moment {
            now,
            heartbeat,
            time_to_live: self.config.time_to_live,
            jitter: Duration::from_nanos(self.random.below(nanos)),
        }
    }

    /// The others answer a hello within this time, or are judged by their next heartbeat.
    fn settle(&self) -> Duration {
        self.config.heartbeat / 8
    }

    /// How soon after a heartbeat a hello is answered with another, which serves all who greeted meanwhile. After
    /// an outage every node greets: were each answered by every other, what goes around would grow with the
    /// square of their number, and the bus might lose their links of it, and be greeted again.
    fn answers_after(&self, members: usize) -> Duration {
        let members = u32::try_from(members).unwrap_or(u32::MAX);
        let pause = (self.settle() / 2).saturating_mul((members / ANSWERING).max(1));
        pause.min(self.config.heartbeat)
    }

    /// How long after a link began the node is live, where its heartbeats come back. A node that was heard and does not
    /// name us yet is about to.
    fn joins_after(&self) -> Duration {
        match self.peers.values().any(Peer::is_new) {
            true => self.introduced().max(self.config.heartbeat / 2),
            false => self.introduced(),
        }
    }

    /// How long after a link began the others have answered our hello. A node that was live before knows them.
    fn introduced(&self) -> Duration {
        match self.lived {
            // The first to answer name the others.
            None => self.answers_after(self.peers.len()) + self.settle() / 2,
            Some(_) => self.settle(),
        }
    }

    fn rebuild(&mut self) {
        self.disconnected();
        self.news.push_back(News::Reconnect);
    }

    fn go_live(&mut self, now: Instant) {
        let settled = now - self.pulse.connected >= self.joins_after();
        if self.pulse.link != Link::Joining || !self.pulse.is_proven() || !settled {
            return;
        }
        self.pulse.link = Link::Live;
        self.lived.get_or_insert(now);
        let begun = self.subscribed.values().min().copied();
        if let Some(since) = self.away.take().or(begun) {
            self.report_forgotten(now, since);
        }
        self.opens = Some(now + self.config.heartbeat);
        self.news.push_back(News::Live);
    }

    /// Nodes that died during an outage longer than members remember are named by nobody.
    fn report_forgotten(&mut self, now: Instant, since: Instant) {
        let until = now - self.config.remembered();
        if since < until {
            self.deaf(None, None, since, until);
        }
    }
}
