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
//!             nodes.iter_mut().for_each(|node| node.receive(now, sent.lane, &sent.frame));
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
//! that, for a lane that stands still brings neither, nor before it was asked for four times, for what is sent again may be
//! lost as well. What the origin does not keep any more it says with the answer, and that is reported at once.
//!
//! # Who can write to the bus
//!
//! Where frames are not [signed](Node::with_signing), a program that can write to the bus can publish as any node. It
//! cannot keep an origin from being heard. A number that a later heartbeat does not report is dropped unseen, where others wait in front of it.
//! One that was believed hides what the origin sends under lower numbers until its next heartbeat, and then
//! [`News::Deaf`] says so. Nothing of an origin is delivered before one of its heartbeats names a stamp of this node, so a
//! recording that does not know this node is worth nothing to it.

mod announce;
mod beyond;
mod bucket;
mod clock;
mod config;
mod contact;
mod flow;
mod forgotten;
mod gate;
mod greetings;
mod hold;
mod intake;
mod introducing;
mod lanes;
mod line;
mod mutual;
mod newcomers;
mod news;
mod origin;
mod pace;
mod peer;
mod peers;
mod pulse;
mod questions;
mod receive;
mod reception;
mod refused;
mod room;
mod run;
mod unproven;
mod view;
mod wait;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::time::Duration;

use bytes::Bytes;

pub use config::{Config, MAX_LANES};
pub use intake::{Intake, Queued};
pub use news::{News, NodeCounters};
pub use refused::Refused;
pub use run::Run;

use crate::bus::{Lane, Limits, Outbound, Signing};
use crate::envelope::{Decoded, Encoded, Frame, Introduction, Signatures};
use crate::member::{AgreedSetting, KeyIds, SigningMode, SigningSettings};
use crate::node_id::NodeId;
use crate::random::Random;
use crate::time::Instant;
use gate::Gate;
use greetings::Greetings;
use intake::OVERHEAD;
use origin::Origin;
use peer::Peer;
use peers::{NamesLeft, RETURN};
use pulse::{Leaving, Link, Pulse};
use questions::Questions;
use reception::Reception;
use unproven::UnprovenSenders;

/// The wire counts microseconds.
const TICK: Duration = Duration::from_micros(1);

/// One node's part in the protocol.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    config: Config,
    /// The largest frame that the bus takes at this moment, in bytes.
    frame: usize,
    intake: Intake,
    gate: Gate,
    pulse: Pulse,
    /// Who this node is, and what it said of others that differ.
    introduction: Introduction,
    said: BTreeSet<(NodeId, AgreedSetting)>,
    /// Who sends frames that are dropped for want of a signature.
    unproven: UnprovenSenders,
    /// Whether what is known of other nodes changed since the host asked.
    changed: bool,
    /// When the members are judged next that are not heard.
    judges: Instant,
    /// Since when this node is blamed for not being in contact with a member, and whether it gives way to another.
    blamed: Option<Instant>,
    gives_way: bool,
    /// When the node was live first.
    lived: Option<Instant>,
    /// Who died before this was named by members, or is reported.
    away: Option<Instant>,
    /// When it was found last that our clock had stood for longer than members remember.
    woken: Option<Instant>,
    origin: Origin,
    /// What waits to be sent without a number, and since when.
    control: VecDeque<(Instant, Encoded)>,
    /// Members that were known when the link began and were not heard on it, and until when what is published waits
    /// for them.
    awaited: BTreeSet<NodeId>,
    opens: Option<Instant>,
    /// When the goodbye is said, once the node leaves.
    leaving: Leaving,
    reception: Reception,
    greetings: Greetings,
    /// What a node that has come is still to be told of those that left.
    names_left: Option<NamesLeft>,
    questions: Questions,
}

impl Node {
    /// A node without a link. The id must be fresh for every start of a process: it tells the
    /// numbers of one start from those of another.
    #[must_use]
    pub fn new(id: NodeId, config: Config, limits: Limits) -> Self {
        let config = config.checked();
        let seed = u128::from_le_bytes(id.0);
        let random = Random::new((seed ^ (seed >> 64)) as u64);
        Self {
            id,
            config,
            frame: limits.frame,
            intake: Intake::new(config.lanes, limits),
            gate: Gate::new(limits.frame),
            pulse: Pulse::new(config.heartbeat),
            introduction: config.introduction(),
            said: BTreeSet::new(),
            unproven: UnprovenSenders::default(),
            changed: false,
            judges: Instant::ZERO,
            blamed: None,
            gives_way: false,
            lived: None,
            away: None,
            woken: None,
            origin: Origin::new(id, limits.frame),
            control: VecDeque::new(),
            awaited: BTreeSet::new(),
            opens: None,
            leaving: Leaving::No,
            reception: Reception::new(config, random),
            greetings: Greetings::default(),
            names_left: None,
            questions: Questions::default(),
        }
    }

    /// Signs every frame for a bus of this prefix, and verifies those that come. To be called before any is made.
    #[must_use]
    pub fn with_signing(mut self, signing: &Signing, prefix: &str) -> Self {
        let mode = match signing.is_required() {
            true => SigningMode::Require,
            false => SigningMode::Sign,
        };
        let keys = KeyIds::new(signing.keys().ids());
        self.introduction.settings.signing = Some(SigningSettings { mode, keys });
        let signatures = Arc::new(Signatures::new(signing, prefix));
        self.gate.verify(signatures.clone());
        self.origin.sign(signatures);
        self
    }

    /// A link is up and has subscribed [`lanes`](Self::lanes).
    pub fn connected(&mut self, now: Instant) {
        self.disconnected();
        if now - self.pulse.proven() > self.config.remembered() + self.config.time_to_live {
            // Others have forgotten us, and wait to be named before they take anything of us.
            let peers = self.reception.peers.iter_mut();
            peers.for_each(|(_, peer)| peer.named = None);
        }
        self.pulse.connected(now);
        self.awaited = self.reception.peers.members().map(|(id, _)| id).collect();
        self.reception
            .connected(now, now + self.config.heartbeat * 2);
        // Before what is found of each lane: connections need no other report then.
        if let Some(since) = self.away {
            self.report_forgotten(now, since);
        }
    }

    /// Nobody else was linked with the bus when the link began: a node that was not live before need not wait for answers to
    /// its hello.
    pub fn connected_alone(&mut self) {
        self.pulse.alone = true;
    }

    /// The link is gone.
    pub fn disconnected(&mut self) {
        if self.is_live() {
            let (begun, proven) = (self.pulse.connected, self.pulse.proven());
            // On a link that ended before the members were heard nobody was named.
            self.away = match proven - begun >= self.config.heartbeat * RETURN {
                true => Some(proven),
                false => self.away.or_else(|| self.reception.lanes.first()),
            };
            self.reception.news.push(News::Down);
            self.changed = true;
            self.mark_incomplete();
        }
        self.pulse.link = Link::Down;
        self.opens = None;
        self.reception.disconnected();
    }

    /// Whether others' events come, as far as we can know.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.pulse.link == Link::Live
    }

    /// The lanes that the link should be subscribed to; lane 0 always is.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> {
        let others = self.reception.lanes.iter().filter(|lane| *lane != Lane(0));
        core::iter::once(Lane(0)).chain(others)
    }

    /// The lane is subscribed, and its events count that were published from `since` on: those that came before the
    /// subscription are sent again. Of a lane that was subscribed already the earlier moment counts; lane 0 is ours from
    /// the first link on, unless this says an earlier one.
    pub fn subscribed(&mut self, since: Instant, lane: Lane) {
        if lane.0 < self.config.lanes {
            self.reception.lanes.subscribe(since, lane);
        }
    }

    /// The link brings the lane no longer. Lane 0 stays.
    pub fn unsubscribed(&mut self, lane: Lane) {
        if lane != Lane(0) {
            self.reception.unsubscribed(lane);
        }
    }

    /// Queues a message of an [`Intake`] for the other nodes, also while there is no link.
    ///
    /// The node does not bound what waits: what lets messages in has the budget, as the queue of a
    /// [`Cluster`](crate::Cluster) does.
    pub fn enqueue(&mut self, mut queued: Queued) {
        // Those have lane 0 in common with all others.
        if self.reception.peers.is_differing() {
            queued.lane = Lane(0);
        }
        self.origin.push(queued);
    }

    /// Gives up what waits for longer than its time to live, link or not; gives how much. The numbers are
    /// used up, so others see a gap.
    pub fn expire(&mut self, now: Instant) -> u64 {
        let ttl = self.config.time_to_live;
        let arrives = (self.pulse.echo() + self.config.heartbeat / 8).min(ttl / 4);
        let expired = self.origin.expire(now, ttl, arrives);
        self.reception.counters.expired += expired;
        while self
            .control
            .front()
            .is_some_and(|(since, _)| now - *since > ttl)
        {
            self.control.pop_front();
        }
        expired
    }

    /// The bus does not take a frame that [`transmit`](Self::transmit) or this gave. Gives what to send in its place, under
    /// the same numbers: the halves of the frame, or, of a frame with one event, what says that the event will not come.
    pub fn refused(&mut self, outbound: &Outbound) -> Refused {
        match Frame::decode(&outbound.frame, usize::MAX) {
            Ok(Decoded::Frame(frame)) if frame.header().first > 0 => {
                self.origin.refuse(outbound, &frame)
            }
            _ => Refused::default(),
        }
    }

    /// Fills frames with at most this many bytes from now on: the server takes less than it did, or as much again. What waits
    /// and is larger goes out alone, for the bus to refuse. Frames of others are taken as before.
    pub fn limit_frames(&mut self, bytes: usize) {
        if bytes == self.frame {
            return;
        }
        self.frame = bytes;
        self.intake = Intake::new(self.config.lanes, Limits::new(bytes));
        self.origin.limit_frames(bytes);
        self.control
            .retain(|(_, message)| message.size() + OVERHEAD <= bytes);
    }

    /// The next frame to send, while there is a link.
    pub fn transmit(&mut self, now: Instant) -> Option<Outbound> {
        if self.pulse.link == Link::Down {
            return None;
        }
        self.expire(now);
        if let Some(frame) = self.control_frame(now) {
            let lane = Lane(0);
            let echo = true;
            return Some(Outbound { lane, frame, echo });
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
        let (members, open) = (self.reception.peers.count(), self.opens.is_none());
        let slow = self.pulse.is_slow();
        self.origin.frame(now, &self.config, members, open, slow)
    }

    /// A frame arrived on this lane by `now`, from anyone. Without a link it is ignored.
    ///
    /// The clock is to be read after the frame was there: what the node knows of the other's clock is wrong for eight
    /// heartbeats if it was read before the frame was sent.
    ///
    /// All [`news`](Self::news) is to be taken before the next: where more frames than
    /// [`Config::queue`] holds came since, the link is to be rebuilt, and what came is lost as if
    /// the bus had lost it.
    pub fn receive(&mut self, now: Instant, lane: Lane, frame: &Bytes) {
        let news = &self.reception.news;
        let unread = news.with_frame(frame.len());
        let crowded = unread > self.config.queue && !news.is_empty();
        if self.is_stalled(now) {
            self.rebuild();
        } else if crowded && self.pulse.link != Link::Down {
            self.reception.counters.overflows += 1;
            self.rebuild();
        }
        if self.pulse.link == Link::Down {
            return;
        }
        self.reception.news.frame_came(frame.len());
        let counters = &mut self.reception.counters;
        match self.gate.read(lane, frame, counters) {
            Ok(frame) if frame.header().origin == self.id => {
                let stamp = frame.header().stamp;
                self.reception.lanes.hear(now, lane);
                self.pulse.came_back(now, stamp);
                self.go_live(now);
            }
            Ok(frame) => self.receive_other(now, frame),
            Err(Some(unproven)) => self.drop_unproven(now, frame, unproven),
            Err(None) => {}
        }
    }

    /// Does what is due. To be called at [`timeout`](Self::timeout), and harmless at any time.
    pub fn tick(&mut self, now: Instant) {
        self.close_questions(now);
        if self.pulse.link == Link::Down {
            return;
        }
        let deaf = self.pulse.deadline().is_some_and(|due| now > due);
        let since = self.pulse.connected;
        if deaf || self.is_stalled(now) || self.reception.is_deaf_on_a_lane(now, since) {
            self.rebuild();
            return;
        }
        self.go_live(now);
        self.pulse.tick(now);
        if matches!(self.leaving, Leaving::At(at) if at <= now) {
            self.pulse.beat(now);
        }
        if self.is_live() {
            self.judge(now);
            self.report_silence(now);
        }
        self.forget_unproven(now);
        self.report_beyond(now);
        self.reception.tick(now);
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
        let flows = self.reception.due();
        let judges = (self.pulse.link == Link::Live).then(|| self.judges + TICK);
        [
            Some(self.pulse.next()),
            judges,
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
        !self.reception.news.is_empty()
    }

    /// The next news for the host.
    pub fn news(&mut self) -> Option<News> {
        self.reception.news.pop()
    }

    /// The other nodes that sent a heartbeat lately, with the version each said it runs.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &str)> {
        let members = self.reception.peers.members();
        members.map(|(id, peer)| (id, peer.version.as_str()))
    }

    /// How many other nodes are kept track of: at most [`Config::peers`] that were proven to live, and as many newcomers, or 64.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.reception.peers.len()
    }

    /// What was dropped and skipped.
    #[must_use]
    pub fn counters(&self) -> NodeCounters {
        let (repairs, repaired) = self.origin.repairs();
        NodeCounters {
            repairs,
            repaired,
            ..self.reception.counters
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
        (self.origin.kept_bytes(), self.reception.held())
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

    /// How long after a link began the node is live, where its heartbeats come back. A node that was heard and does not
    /// name us yet is about to, and one that does holds us for a member once it knows that we hear it.
    fn joins_after(&self) -> Duration {
        let (begun, came_back) = (self.pulse.connected, self.pulse.proven());
        let joins = self.lived.is_none();
        let is_strange = |peer: &Peer| peer.is_member() && !peer.is_named_within(begun, came_back);
        let mut peers = self.reception.peers.values();
        match peers.any(|peer| peer.is_new() || joins && is_strange(peer)) {
            true => self.introduced().max(self.config.heartbeat / 2),
            false => self.introduced(),
        }
    }

    /// How long after a link began the others have answered our hello. A node that was live before knows them.
    fn introduced(&self) -> Duration {
        match self.lived {
            None if self.pulse.alone && self.reception.peers.len() == 0 => Duration::ZERO,
            // The first to answer name the others.
            None => self.answers_after(self.reception.peers.len()) + self.settle() / 2,
            Some(_) => self.settle(),
        }
    }

    fn rebuild(&mut self) {
        self.disconnected();
        self.reception.news.push(News::Reconnect);
    }

    fn go_live(&mut self, now: Instant) {
        let joins = self.pulse.link == Link::Joining && self.pulse.is_proven();
        // What a link waits for is looked up among all peers, and not once it is live.
        if !joins || now - self.pulse.connected < self.joins_after() {
            return;
        }
        self.pulse.link = Link::Live;
        self.lived.get_or_insert(now);
        let begun = self.reception.lanes.first();
        if let Some(since) = self.away.or(begun) {
            self.report_forgotten(now, since);
        }
        self.opens = Some(now + self.config.heartbeat);
        self.reception.news.push(News::Live);
        self.changed = true;
    }
}
