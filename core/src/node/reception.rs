//! What this node receives of the others: every flow, what all of them hold and miss, and what is asked for.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::beyond::BeyondRoom;
use super::config::Config;
use super::flow::{Flow, Settled, known_until};
use super::lanes::Lanes;
use super::news::{News, NewsQueue, NodeCounters};
use super::peer::{LastLanes, Moment, Peer};
use super::peers::Peers;
use super::run::Run;
use super::view::View;
use crate::bus::Lane;
use crate::envelope::{Ask, AskedRun, Frame, Heartbeat, MAX_RUNS, Message};
use crate::node_id::NodeId;
use crate::random::Random;
use crate::time::Instant;

/// After how many heartbeats without anything on a lane, where the origin heard an ask for more, the lane is deaf.
const DEAF_LANE: u32 = 8;

/// The receiver's half of the protocol.
#[derive(Debug)]
pub(super) struct Reception {
    config: Config,
    random: Random,
    pub(super) peers: Peers,
    /// What is known of nodes for which there is no room.
    pub(super) beyond: BeyondRoom,
    pub(super) lanes: Lanes,
    /// The flows with numbers that are missing, and the bytes that all flows hold.
    waiting: BTreeSet<(NodeId, Lane)>,
    held: usize,
    /// The origins that are to be asked to send something again.
    asking: BTreeSet<NodeId>,
    pub(super) news: NewsQueue,
    pub(super) counters: NodeCounters,
}

impl Reception {
    pub(super) fn new(config: Config, random: Random) -> Self {
        Self {
            config,
            random,
            peers: Peers::new(config.peers),
            beyond: BeyondRoom::default(),
            lanes: Lanes::default(),
            waiting: BTreeSet::new(),
            held: 0,
            asking: BTreeSet::new(),
            news: NewsQueue::default(),
            counters: NodeCounters::default(),
        }
    }

    /// The bytes that wait for others in front of them.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// A link begins; what nodes that left sent last may come until `settles`.
    pub(super) fn connected(&mut self, now: Instant, settles: Instant) {
        self.lanes.connected();
        if self.lanes.since(Lane(0)).is_none() {
            self.lanes.subscribe(now, Lane(0));
        }
        let peers = self.peers.iter_mut();
        let departed = peers.filter_map(|(_, peer)| peer.settles.as_mut());
        departed.for_each(|at| *at = (*at).max(settles));
    }

    /// The link is gone.
    pub(super) fn disconnected(&mut self) {
        self.waiting.clear();
        self.asking.clear();
        self.peers
            .iter_mut()
            .for_each(|(_, peer)| peer.disconnected());
    }

    /// The link brings the lane no longer.
    pub(super) fn unsubscribed(&mut self, lane: Lane) {
        self.lanes.unsubscribe(lane);
        for (id, peer) in self.peers.iter_mut() {
            self.held -= peer.part(lane);
            self.waiting.remove(&(id, lane));
        }
    }

    /// Knows the origin from now on. Where there is no room for one that is new another gives way that nothing proves either.
    pub(super) fn admit(&mut self, now: Instant, origin: NodeId) {
        if self.peers.get(origin).is_some() {
            return;
        }
        if let Some(newcomer) = self.peers.newcomer_too_many() {
            self.drop_published(now, newcomer);
            self.forget(newcomer);
        }
        self.peers.insert(now, origin);
    }

    /// Makes sure that a node which is proven to live has a place: one that is gone gives up its own. False if members have
    /// all places, none of which gives way.
    pub(super) fn place(&mut self, now: Instant, id: NodeId) -> bool {
        let placed = self.peers.get(id).is_some_and(|peer| peer.proven);
        if placed || !self.peers.is_taken() {
            return true;
        }
        if self.peers.is_full() {
            return false;
        }
        let least = self.peers.least();
        least.inspect(|least| self.give_way(now, *least)).is_some()
    }

    /// A node that is gone gives way to another, and what it sent last is told as long as it is known of.
    fn give_way(&mut self, now: Instant, id: NodeId) {
        let since = self.lanes.first().unwrap_or(now);
        if let Some(peer) = self.peers.get(id).filter(|peer| peer.is_untold()) {
            let beat = peer.beat.map(|(beat, _)| peer.clock.ours_at_least(beat));
            let since = beat.map_or(since, |beat| beat.max(since));
            self.news.deaf(Some(id), None, (since, now));
        }
        self.forget(id);
    }

    /// What a node published that nothing proves is dropped, and told.
    pub(super) fn drop_published(&mut self, now: Instant, id: NodeId) {
        let ours = self.lanes.first().unwrap_or(now);
        let every = self.config.heartbeat;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        // Of one that members name, and that is not heard here, anything may be missing.
        let unheard = (peer.lives && peer.beat.is_none()).then(|| peer.heard + every);
        self.beyond.dropped(ours, peer.published.max(unheard));
        for (lane, flow) in core::mem::take(&mut peer.flows) {
            self.held -= flow.held_bytes();
            self.waiting.remove(&(id, lane));
        }
    }

    pub(super) fn forget(&mut self, id: NodeId) {
        if let Some(peer) = self.peers.forget(id) {
            self.counters.implausible += u64::from(!peer.lives);
            for (lane, flow) in peer.flows {
                self.held -= flow.held_bytes();
                self.waiting.remove(&(id, lane));
            }
        }
    }

    /// A frame of events came.
    pub(super) fn receive(&mut self, now: Instant, frame: Frame) {
        let header = *frame.header();
        let (origin, lane) = (header.origin, Lane(header.lane));
        let Some(since) = self.lanes.since(lane) else {
            return;
        };
        self.lanes.hear(now, lane);
        let moment = self.moment(now);
        let Some(peer) = self.peers.get_mut(origin) else {
            return;
        };
        let proven = peer.proven;
        let (flow, view) = peer.flow(moment, lane, since);
        if flow.is_next(header.first, proven) && !view.is_stale(&frame) {
            self.pass(now, &frame);
            return;
        }
        // Counted here alone, for that reads the whole frame.
        let count = frame.numbered();
        let Some(last) = count.checked_sub(1).map(|more| header.first + more) else {
            return;
        };
        let mut held = false;
        let hold = self.config.hold;
        let others = self.held - flow.held_bytes();
        self.with_flow(now, origin, lane, |flow, view, out| {
            held = flow.hold(now, frame, last);
            flow.advance(view, out);
        });
        if !held {
            self.counters.duplicates += count;
        }
        while others + self.flow_bytes(origin, lane) > hold && self.drop_newest(now, origin, lane) {
            self.counters.unheld += 1;
        }
    }

    /// Delivers a frame that is the next of its flow.
    fn pass(&mut self, now: Instant, frame: &Frame) {
        let header = *frame.header();
        let (origin, lane) = (header.origin, Lane(header.lane));
        let Some(last) = self.deliver(now, frame, header.first) else {
            return;
        };
        let peer = self.peers.get_mut(origin);
        let flow = peer.and_then(|peer| peer.flows.get_mut(&lane));
        if flow.is_some_and(|flow| flow.passed(last, header.stamp, header.waited)) {
            self.advance(now, origin, lane);
        }
    }

    fn flow_bytes(&self, origin: NodeId, lane: Lane) -> usize {
        self.flow(origin, lane).map_or(0, Flow::held_bytes)
    }

    fn flow(&self, origin: NodeId, lane: Lane) -> Option<&Flow> {
        let flow = self.peers.get(origin)?.flows.get(&lane)?;
        Some(flow)
    }

    fn drop_newest(&mut self, now: Instant, origin: NodeId, lane: Lane) -> bool {
        let mut dropped = false;
        self.with_flow(now, origin, lane, |flow, view, out| {
            dropped = flow.drop_newest();
            flow.advance(view, out);
        });
        dropped
    }

    fn advance(&mut self, now: Instant, origin: NodeId, lane: Lane) {
        self.with_flow(now, origin, lane, |flow, view, out| flow.advance(view, out));
    }

    /// Does something with the flow, and with what it settles.
    fn with_flow(
        &mut self,
        now: Instant,
        origin: NodeId,
        lane: Lane,
        act: impl FnOnce(&mut Flow, &View<'_>, &mut Vec<Settled>),
    ) {
        let moment = self.moment(now);
        let Some(since) = self.lanes.since(lane) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(origin) else {
            return;
        };
        let mut settled = Vec::new();
        let (flow, view) = peer.flow(moment, lane, since);
        let before = flow.held_bytes();
        act(flow, &view, &mut settled);
        self.held = self.held + flow.held_bytes() - before;
        let waits = flow.waits();
        match waits && peer.repairs() {
            true => self.waiting.insert((origin, lane)),
            false => self.waiting.remove(&(origin, lane)),
        };
        for settled in settled {
            match settled {
                Settled::Frame(frame, from) => {
                    self.deliver(now, &frame, from);
                }
                Settled::Gap(run, since, until) => {
                    self.news.gap(origin, lane, run, (since, until));
                }
                Settled::Stale(run, since, until) => {
                    self.counters.stale += run.last - run.first + 1;
                    self.news.gap(origin, lane, run, (since, until));
                }
                Settled::Unknown(since, until) => {
                    self.news.deaf(Some(origin), Some(lane), (since, until));
                }
            }
        }
    }

    /// Passes on the events of a frame from this number on. Gives the last number of the frame.
    fn deliver(&mut self, now: Instant, frame: &Frame, from: u64) -> Option<u64> {
        let header = frame.header();
        let (origin, lane) = (header.origin, Lane(header.lane));
        let mut last = None;
        for (number, message) in frame.messages() {
            last = number.or(last);
            let Some(number) = number.filter(|number| *number >= from) else {
                continue;
            };
            let news = match message {
                Ok(Message::Publish {
                    scope,
                    audience,
                    event,
                }) => News::Event {
                    scope,
                    audience,
                    event,
                },
                Ok(Message::Question {
                    id,
                    scope,
                    question,
                }) => News::Asked {
                    origin,
                    id,
                    scope,
                    question,
                },
                unread => {
                    match unread {
                        Ok(Message::Withdrawn) => {}
                        Err(_) => self.counters.malformed += 1,
                        Ok(_) => self.counters.unknown_kinds += 1,
                    }
                    let peer = self.peers.get(origin);
                    let made = peer.map_or(now, |peer| peer.clock.ours_at_least(header.stamp));
                    let used = (made - header.waited, now);
                    self.news.gap(origin, lane, Run::of(number), used);
                    continue;
                }
            };
            self.news.push(news);
        }
        last
    }

    /// A heartbeat that the origin stamped `sent` reports its lanes.
    pub(super) fn report(
        &mut self,
        now: Instant,
        origin: NodeId,
        sent: Duration,
        heartbeat: &Heartbeat,
    ) {
        if !self.peers.get(origin).is_some_and(|peer| peer.proven) {
            return;
        }
        for progress in &heartbeat.lanes {
            let lane = Lane(progress.lane);
            self.with_flow(now, origin, lane, |flow, view, out| {
                flow.listed(view, *progress, sent, out);
                if heartbeat.hello {
                    flow.ask_again(view);
                }
            });
        }
        if !heartbeat.partial {
            self.report_unlisted(now, origin, sent, heartbeat);
        }
        // It may just have been proven to live: what came of it before counts.
        let flows = self.peers.get(origin).map(|peer| peer.flows.iter());
        let held = flows
            .into_iter()
            .flatten()
            .filter(|(_, flow)| flow.held_bytes() > 0);
        let held: Vec<Lane> = held.map(|(lane, _)| *lane).collect();
        for lane in held {
            self.advance(now, origin, lane);
        }
    }

    /// The lanes that a heartbeat does not list are as they were, as far back as its list goes.
    fn report_unlisted(
        &mut self,
        now: Instant,
        origin: NodeId,
        sent: Duration,
        heartbeat: &Heartbeat,
    ) {
        let since = heartbeat.since;
        let named = heartbeat.lanes.iter().map(|listed| listed.lane).collect();
        let lanes = self.unlisted(origin, since, &named);
        let Some(peer) = self.peers.get_mut(origin) else {
            return;
        };
        let listed = peer.lists(since, sent);
        for lane in lanes {
            self.with_flow(now, origin, lane, |flow, view, out| {
                flow.unlisted(view, lane.0, (since, sent), listed, out);
            });
        }
    }

    /// The lanes that a list of the origin, of all that were used from `since` on, does not name, and of which that says
    /// something: one without a flow needs none, where what was used since the lane is ours would be listed or was before.
    fn unlisted(&self, origin: NodeId, since: Duration, named: &BTreeSet<u32>) -> Vec<Lane> {
        let Some(peer) = self.peers.get(origin) else {
            return Vec::new();
        };
        let first = self.lanes.first();
        let first = first.map_or(Duration::ZERO, |first| peer.clock.theirs(first));
        let mut lanes: Vec<Lane> = match known_until(first, peer.listed()) >= since {
            true => peer.flows.keys().copied().collect(),
            false => self.lanes.iter().collect(),
        };
        lanes.retain(|lane| !named.contains(&lane.0));
        lanes
    }

    /// The latest stamp that the origin can have made is known now.
    pub(super) fn distrust(&mut self, now: Instant, origin: NodeId) {
        let Some(peer) = self.peers.get(origin) else {
            return;
        };
        let latest = peer.latest_stamp(now, self.config.heartbeat);
        let lanes: Vec<Lane> = peer.flows.keys().copied().collect();
        for lane in lanes {
            self.with_flow(now, origin, lane, |flow, _, _| flow.distrust(latest));
        }
    }

    /// The origin says, in a heartbeat that it stamped `sent`, that it heard our frame of this stamp.
    pub(super) fn confirmed(
        &mut self,
        now: Instant,
        origin: NodeId,
        heard: Duration,
        sent: Duration,
    ) {
        for lane in self.waiting_of(origin) {
            self.with_flow(now, origin, lane, |flow, view, _| {
                flow.confirmed(view, heard, sent);
            });
        }
    }

    /// The origin left behind these numbers of its lanes.
    pub(super) fn left(&mut self, now: Instant, origin: NodeId, last: LastLanes) {
        let listed = last.lanes.iter().map(|(lane, ..)| *lane).collect();
        for lane in self.unlisted(origin, last.since, &listed) {
            let heard = self.peers.get(origin).map(Peer::listed);
            self.with_flow(now, origin, lane, |flow, view, out| {
                flow.miss_before(view, last.since, heard.unwrap_or_default(), out);
            });
        }
        for (lane, last, at) in last.lanes {
            self.with_flow(now, origin, Lane(lane), |flow, _, _| {
                flow.left(lane, last, at);
            });
        }
        self.asking.remove(&origin);
    }

    /// Nothing more will come of a node.
    pub(super) fn settle(&mut self, now: Instant, id: NodeId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.settles = None;
        let lanes: Vec<Lane> = peer.flows.keys().copied().collect();
        for lane in lanes {
            self.with_flow(now, id, lane, |flow, view, out| flow.settle(view, out));
        }
        self.asking.remove(&id);
    }

    /// The lanes of the origin on which numbers are missing.
    fn waiting_of(&self, origin: NodeId) -> Vec<Lane> {
        let flows = (origin, Lane(0))..=(origin, Lane(u32::MAX));
        self.waiting.range(flows).map(|(_, lane)| *lane).collect()
    }

    /// Another node asks the origin for these runs.
    pub(super) fn overheard(&mut self, now: Instant, origin: NodeId, runs: &[AskedRun]) {
        for run in runs {
            let lane = Lane(run.lane);
            if self.waiting.contains(&(origin, lane)) {
                self.with_flow(now, origin, lane, |flow, view, _| flow.overheard(view, run));
            }
        }
    }

    /// Does what is due of the flows that wait.
    pub(super) fn tick(&mut self, now: Instant) {
        let waiting: Vec<(NodeId, Lane)> = self.waiting.iter().copied().collect();
        for (origin, lane) in waiting {
            let mut asks = false;
            self.with_flow(now, origin, lane, |flow, view, out| {
                asks = flow.tick(view, out);
            });
            let peer = self.peers.get(origin);
            let apart = self.config.heartbeat / 16;
            if asks && peer.is_some_and(|peer| peer.repairs() && now - peer.asked >= apart) {
                self.asking.insert(origin);
            }
        }
    }

    /// When the next of the flows that wait is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let moment = Moment {
            now: Instant::ZERO,
            heartbeat: self.config.heartbeat,
            time_to_live: self.config.time_to_live,
            jitter: Duration::ZERO,
        };
        // What is asked with the next frame is not due any more.
        let waiting = self.waiting.iter();
        let waiting = waiting.filter(|(origin, _)| !self.asking.contains(origin));
        let due = waiting.filter_map(|(origin, lane)| {
            let peer = self.peers.get(*origin)?;
            let apart = peer.asked + self.config.heartbeat / 16;
            let due = peer.due(moment, *lane)?;
            Some(due.max(apart))
        });
        due.min()
    }

    /// Whether an ask was heard and its answer does not come, on a lane on which nothing comes by a link that began at
    /// `connected`: it is not subscribed.
    pub(super) fn is_deaf_on_a_lane(&self, now: Instant, connected: Instant) -> bool {
        // A slow lane is not a deaf one, and what is under way on it would be lost with the link.
        self.waiting.iter().any(|(origin, lane)| {
            let heard = self.lanes.heard(*lane).unwrap_or(connected);
            let peer = self.peers.get(*origin);
            // One that died answers nothing on any lane.
            let beat = peer.and_then(|peer| peer.beat);
            let ours = self.config.heartbeat;
            let every = peer.map_or(ours, |peer| peer.every(ours)).max(ours);
            let patience = every * DEAF_LANE;
            let lives = beat.is_some_and(|(_, came)| now - came <= every * 2);
            let flow = self.flow(*origin, *lane);
            now - heard > patience && lives && flow.is_some_and(|flow| flow.is_deaf(now, patience))
        })
    }

    /// Whether an origin is to be asked for something.
    pub(super) fn asks(&self) -> bool {
        !self.asking.is_empty()
    }

    /// What is to be asked next, in a frame that is stamped `stamp`.
    pub(super) fn next_ask(&mut self, now: Instant, stamp: Duration) -> Option<Ask> {
        loop {
            let to = self.asking.pop_first()?;
            let runs = self.missing(now, to, stamp);
            if !runs.is_empty() {
                return Some(Ask { to, runs });
            }
        }
    }

    fn missing(&mut self, now: Instant, origin: NodeId, stamp: Duration) -> Vec<AskedRun> {
        let moment = self.moment(now);
        let waiting = self.waiting_of(origin);
        let mut runs = Vec::new();
        let Some(peer) = self.peers.get_mut(origin) else {
            return runs;
        };
        peer.asked = now;
        for lane in waiting {
            let Some(since) = self.lanes.since(lane).filter(|_| runs.len() < MAX_RUNS) else {
                break;
            };
            let (flow, view) = peer.flow(moment, lane, since);
            // What is due within a little while goes with it.
            if flow.is_asking(now + moment.heartbeat / 32) {
                flow.ask(&view, lane.0, stamp, MAX_RUNS, &mut runs);
            }
        }
        runs
    }

    fn moment(&mut self, now: Instant) -> Moment {
        let heartbeat = self.config.heartbeat;
        // Of many nodes that miss the same, the first to ask spares the others.
        let members = u32::try_from(self.peers.count()).unwrap_or(u32::MAX);
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
}
