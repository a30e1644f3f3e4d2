//! What a node makes of the frames that arrive, and of the time that passes for what does not.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::flow::{Flow, Settled, View};
use super::news::News;
use super::peer::{Moment, Peer, Standing};
use super::pulse::Link;
use super::run::Run;
use super::{DEAF_LANE, Node, SILENCE};
use crate::bus::Lane;
use crate::envelope::{Ask, Frame, Heard, Heartbeat, Left, Message};
use crate::node_id::NodeId;
use crate::time::Instant;

/// For how many heartbeats after a link began a node that is not heard may be about to come back.
const RETURN: u32 = 4;

impl Node {
    pub(super) fn receive_other(&mut self, now: Instant, frame: Frame) {
        let header = *frame.header();
        let (origin, lane) = (header.origin, Lane(header.lane));
        let tolerance = self.config.heartbeat / 16;
        if lane.0 >= self.config.lanes || !self.admit(now, origin) {
            self.counters.implausible += 1;
            return;
        }
        let Some(peer) = self.peers.get_mut(&origin) else {
            return;
        };
        if peer.clock.is_future(now, header.stamp, tolerance) {
            self.counters.implausible += 1;
            return;
        }
        peer.heard = now;
        if header.first == 0 {
            self.receive_control(now, origin, &frame);
        } else if let Some(since) = self.subscribed.get(&lane).copied() {
            self.lane_heard.insert(lane, now);
            self.receive_events(now, since, frame);
        }
    }

    /// A frame of events came, on a lane that is ours since then.
    fn receive_events(&mut self, now: Instant, since: Instant, frame: Frame) {
        let header = *frame.header();
        let (origin, lane) = (header.origin, Lane(header.lane));
        let moment = self.moment(now);
        let Some(peer) = self.peers.get_mut(&origin) else {
            return;
        };
        let count = frame.numbered();
        let Some(last) = count.checked_sub(1).map(|more| header.first + more) else {
            return;
        };
        let proven = peer.is_proven();
        let (flow, view) = peer.flow(moment, lane, since);
        if flow.is_next(header.first, proven) && !view.is_stale(&frame) {
            let waits = flow.passed(last, header.stamp, header.waited);
            self.deliver(now, &frame, header.first);
            if waits {
                self.with_flow(now, origin, lane, |flow, view, out| flow.advance(view, out));
            }
            return;
        }
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

    fn flow_bytes(&self, origin: NodeId, lane: Lane) -> usize {
        let flow = self
            .peers
            .get(&origin)
            .and_then(|peer| peer.flows.get(&lane));
        flow.map_or(0, Flow::held_bytes)
    }

    fn drop_newest(&mut self, now: Instant, origin: NodeId, lane: Lane) -> bool {
        let mut dropped = false;
        self.with_flow(now, origin, lane, |flow, view, out| {
            dropped = flow.drop_newest();
            flow.advance(view, out);
        });
        dropped
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
        let Some(since) = self.subscribed.get(&lane).copied() else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&origin) else {
            return;
        };
        let mut settled = Vec::new();
        let (flow, view) = peer.flow(moment, lane, since);
        let before = flow.held_bytes();
        act(flow, &view, &mut settled);
        self.held = self.held + flow.held_bytes() - before;
        let waits = flow.waits();
        match waits && peer.repairs() && self.pulse.link != Link::Down {
            true => self.waiting.insert((origin, lane)),
            false => self.waiting.remove(&(origin, lane)),
        };
        for settled in settled {
            match settled {
                Settled::Frame(frame, from) => self.deliver(now, &frame, from),
                Settled::Gap(run, since, until) => self.gap(origin, lane, run, since, until),
                Settled::Stale(run, since, until) => {
                    self.counters.stale += run.last - run.first + 1;
                    self.gap(origin, lane, run, since, until);
                }
                Settled::Unknown(since, until) => self.deaf(Some(origin), Some(lane), since, until),
            }
        }
    }

    /// Passes on the events of a frame from this number on.
    fn deliver(&mut self, now: Instant, frame: &Frame, from: u64) {
        let header = frame.header();
        let (origin, lane) = (header.origin, Lane(header.lane));
        for (number, message) in frame.messages() {
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
                        Err(_) => self.counters.malformed += 1,
                        Ok(_) => self.counters.unknown_kinds += 1,
                    }
                    let peer = self.peers.get(&origin);
                    let made = peer.map_or(now, |peer| peer.clock.ours_at_least(header.stamp));
                    self.gap(origin, lane, Run::of(number), made - header.waited, now);
                    continue;
                }
            };
            self.news.push_back(news);
        }
    }

    fn gap(&mut self, origin: NodeId, lane: Lane, run: Run, since: Instant, until: Instant) {
        // A frame of which nothing is delivered is one gap.
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
        self.news.push_back(News::Gap {
            origin,
            lane,
            run,
            since,
            until,
        });
    }

    pub(super) fn deaf(
        &mut self,
        origin: Option<NodeId>,
        lane: Option<Lane>,
        since: Instant,
        until: Instant,
    ) {
        let since = since.min(until);
        self.news.push_back(News::Deaf {
            origin,
            lane,
            since,
            until,
        });
    }

    /// A frame without events came.
    fn receive_control(&mut self, now: Instant, origin: NodeId, frame: &Frame) {
        let stamp = frame.header().stamp;
        if let Some(peer) = self.peers.get_mut(&origin) {
            let newer = peer.latest.is_none_or(|(latest, _)| latest < stamp);
            if newer {
                peer.latest = Some((stamp, now));
            }
        }
        for (_, message) in frame.messages() {
            match message {
                Ok(Message::Heartbeat(heartbeat)) => {
                    self.receive_heartbeat(now, origin, stamp, &heartbeat);
                }
                Ok(Message::Ask(ask)) => self.receive_ask(now, origin, &ask),
                Ok(Message::Answer { to, id, answer }) if to == self.id => {
                    self.receive_answer(now, origin, id, answer);
                }
                Ok(Message::Answer { .. }) => {}
                Ok(Message::Question {
                    id,
                    scope,
                    question,
                }) => {
                    let peer = self.peers.get_mut(&origin);
                    let ttl = self.config.time_to_live;
                    if let Some(peer) = peer
                        && id > peer.question
                        && peer.clock.age(now, stamp) <= ttl
                    {
                        peer.question = id;
                        self.news.push_back(News::Asked {
                            origin,
                            id,
                            scope,
                            question,
                        });
                    }
                }
                Ok(_) => self.counters.unknown_kinds += 1,
                Err(_) => self.counters.malformed += 1,
            }
        }
    }

    fn receive_heartbeat(
        &mut self,
        now: Instant,
        origin: NodeId,
        sent: Duration,
        heartbeat: &Heartbeat,
    ) {
        let windows = self.config.clock_windows();
        let Some(peer) = self.peers.get_mut(&origin) else {
            return;
        };
        if peer.beat.is_some_and(|beat| sent <= beat) {
            self.counters.duplicates += 1;
            return;
        }
        peer.beat = Some(sent);
        peer.lives = true;
        if let Some(heard) = self.forgotten.remove(&origin) {
            // Which of its events came is not known any more: none comes twice, and those that did not are reported.
            peer.come_back(sent);
            self.deaf(Some(origin), None, heard, now);
        }
        let Some(peer) = self.peers.get_mut(&origin) else {
            return;
        };
        peer.clock.heard(now, sent, windows);
        peer.version.clone_from(&heartbeat.version);
        // Who does not know yet that we hear it is told soon.
        let unnamed = peer.named.is_none() || heartbeat.hello;
        peer.owed |= unnamed;
        self.take_echo(now, origin, sent, &heartbeat.heard);
        let is_proven = self.peers.get(&origin).is_some_and(Peer::is_proven);
        for progress in &heartbeat.lanes {
            let lane = Lane(progress.lane);
            self.with_flow(now, origin, lane, |flow, view, out| {
                flow.report(view, *progress, sent, out);
                if heartbeat.hello {
                    flow.ask_again(view);
                }
            });
        }
        if is_proven {
            if !heartbeat.partial {
                self.take_unlisted(now, origin, sent, heartbeat);
            }
            self.advance_all(now, origin);
            self.take_hearsay(now, heartbeat);
        }
        self.awaited.remove(&origin);
        if heartbeat.goodbye {
            let lanes = heartbeat.lanes.iter();
            let lanes = lanes.map(|lane| (lane.lane, lane.last, lane.at)).collect();
            self.part(now, origin, now, lanes);
        }
        if unnamed {
            self.greeted |= heartbeat.hello;
            self.pulse.hasten(now, self.answers_after(self.members));
            self.pulse.tick(now);
        }
    }

    /// The origin names a stamp of ours that it heard: it lives, and our frames come to it.
    fn take_echo(&mut self, now: Instant, origin: NodeId, sent: Duration, heard: &[Heard]) {
        let windows = self.config.clock_windows();
        let Some(echo) = heard.iter().find(|heard| heard.node == self.id) else {
            return;
        };
        let Some(made) = self.pulse.made_at(echo.stamp) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&origin) else {
            return;
        };
        peer.clock
            .echoed(now, sent, made.since_origin(), echo.ago, windows);
        peer.deaf = false;
        // What the clocks did after our frame was heard this heartbeat does not say.
        peer.dated = peer.dated.max(sent.saturating_sub(echo.ago));
        if !peer.is_member() {
            peer.standing = Standing::Member;
            (peer.settles, peer.last) = (None, Vec::new());
            self.members += 1;
            self.news.push_back(News::Joined(origin));
        }
        let flows = self
            .waiting
            .range((origin, Lane(0))..=(origin, Lane(u32::MAX)));
        let lanes: Vec<Lane> = flows.map(|(_, lane)| *lane).collect();
        for lane in lanes {
            self.with_flow(now, origin, lane, |flow, view, _| {
                flow.confirmed(view, echo.stamp, sent);
            });
        }
    }

    /// The lanes that a heartbeat does not list are as they were, as far back as its list goes.
    fn take_unlisted(
        &mut self,
        now: Instant,
        origin: NodeId,
        sent: Duration,
        heartbeat: &Heartbeat,
    ) {
        let listed: BTreeSet<u32> = heartbeat.lanes.iter().map(|listed| listed.lane).collect();
        let lanes = self
            .subscribed
            .keys()
            .filter(|lane| !listed.contains(&lane.0));
        let unlisted: Vec<Lane> = lanes.copied().collect();
        let since = heartbeat.since;
        let Some(peer) = self.peers.get_mut(&origin) else {
            return;
        };
        let listed = peer.listed;
        peer.listed = match since <= listed.1 {
            true => (since.min(listed.0), sent),
            false => (since, sent),
        };
        for lane in unlisted {
            let known = self.peers.get(&origin).map(|peer| &peer.flows);
            // A lane that was never used needs no flow.
            if heartbeat.since.is_zero() && known.is_some_and(|flows| !flows.contains_key(&lane)) {
                continue;
            }
            self.with_flow(now, origin, lane, |flow, view, out| {
                flow.unlisted(view, lane.0, (since, sent), listed, out);
            });
        }
    }

    /// The origin may just have been proven to live: what came of it before counts.
    fn advance_all(&mut self, now: Instant, origin: NodeId) {
        let flows = self.peers.get(&origin).map(|peer| peer.flows.iter());
        let held = flows
            .into_iter()
            .flatten()
            .filter(|(_, flow)| flow.held_bytes() > 0);
        let lanes: Vec<Lane> = held.map(|(lane, _)| *lane).collect();
        for lane in lanes {
            self.with_flow(now, origin, lane, |flow, view, out| flow.advance(view, out));
        }
    }

    /// A member names nodes that it heard, and others that left.
    fn take_hearsay(&mut self, now: Instant, heartbeat: &Heartbeat) {
        let ours = self.subscribed.values().min().copied();
        for heard in &heartbeat.heard {
            // One that lived when events were ours already may have sent some, even if it died before this link began.
            let at = now - heard.ago;
            if heard.node == self.id || ours.is_none_or(|ours| now - ours < heard.ago) {
                continue;
            }
            let known = self.peers.contains_key(&heard.node) || self.admit(at, heard.node);
            if known && let Some(peer) = self.peers.get_mut(&heard.node) {
                peer.lives = true;
            }
        }
        for left in &heartbeat.left {
            let Left { node, ago, lanes } = left;
            let at = now - *ago;
            let known = self.peers.get(node);
            if *node == self.id || known.is_some_and(|peer| peer.standing == Standing::Left) {
                continue;
            }
            if known.is_some_and(|peer| peer.heard > at + self.config.heartbeat) {
                continue;
            }
            let unknown = known.is_none_or(|peer| !peer.is_proven());
            if self.admit(at, *node) {
                self.part(now, *node, at, lanes.clone());
                if unknown && !lanes.is_empty() && ours.is_some_and(|ours| ours < at) {
                    self.deaf(Some(*node), None, ours.unwrap_or(at), at);
                }
            }
        }
    }

    /// The node has left, and had used these numbers.
    fn part(&mut self, now: Instant, node: NodeId, at: Instant, last: Vec<(u32, u64, Duration)>) {
        let settles = at.max(self.pulse.connected) + self.config.heartbeat * 2;
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let known = peer.is_proven();
        if peer.is_member() {
            self.members -= 1;
        }
        if matches!(peer.standing, Standing::Member | Standing::Silent) {
            self.news.push_back(News::Left(node));
        }
        peer.standing = Standing::Left;
        (peer.heard, peer.settles) = (at, known.then_some(settles));
        peer.last.clone_from(&last);
        for (lane, last, at) in last {
            self.with_flow(now, node, Lane(lane), |flow, _, _| {
                flow.left(lane, last, at);
            });
        }
        self.awaited.remove(&node);
        self.asking.remove(&node);
        self.forget_answers_of(now, node);
    }

    fn receive_ask(&mut self, now: Instant, from: NodeId, ask: &Ask) {
        if ask.to == self.id {
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.owed = true;
            }
            let linger = self.config.heartbeat / 16;
            self.origin.want(now, &ask.runs, linger);
            self.pulse.hasten(now, linger);
            self.pulse.tick(now);
            return;
        }
        for run in &ask.runs {
            let lane = Lane(run.lane);
            if self.waiting.contains(&(ask.to, lane)) {
                self.with_flow(now, ask.to, lane, |flow, view, _| flow.overheard(view, run));
            }
        }
    }

    /// Does what is due of the flows that wait.
    pub(super) fn tick_flows(&mut self, now: Instant) {
        let waiting: Vec<(NodeId, Lane)> = self.waiting.iter().copied().collect();
        for (origin, lane) in waiting {
            let mut asks = false;
            self.with_flow(now, origin, lane, |flow, view, out| {
                asks = flow.tick(view, out);
            });
            let peer = self.peers.get(&origin);
            let apart = self.config.heartbeat / 16;
            if asks && peer.is_some_and(|peer| peer.repairs() && now - peer.asked >= apart) {
                self.asking.insert(origin);
            }
        }
    }

    /// When the next of the flows that wait is due.
    pub(super) fn flows_due(&self) -> Option<Instant> {
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
            let peer = self.peers.get(origin)?;
            let apart = peer.asked + self.config.heartbeat / 16;
            let due = peer.due(moment, *lane)?;
            Some(due.max(apart))
        });
        due.min()
    }

    /// Whether an ask was heard and its answer does not come, on a lane on which nothing comes: it is not subscribed.
    pub(super) fn is_deaf_on_a_lane(&self, now: Instant) -> bool {
        // A slow lane is not a deaf one, and what is under way on it would be lost with the link.
        let patience = self.config.heartbeat * DEAF_LANE;
        self.waiting.iter().any(|(origin, lane)| {
            let heard = self
                .lane_heard
                .get(lane)
                .copied()
                .unwrap_or(self.pulse.connected);
            let flow = self.peers.get(origin).and_then(|peer| peer.flows.get(lane));
            now - heard > patience && flow.is_some_and(|flow| flow.is_deaf(now, patience))
        })
    }

    /// Reports the nodes that are not heard any more, and forgets those that are long gone.
    pub(super) fn report_silence(&mut self, now: Instant) {
        let (heartbeat, ttl) = (self.config.heartbeat, self.config.time_to_live);
        // After an outage nodes come back one after the other, two and a half heartbeats apart at most.
        let patient = now - self.pulse.connected > heartbeat * RETURN;
        let mut lost = Vec::new();
        let mut settled = Vec::new();
        let mut forgotten = Vec::new();
        for (id, peer) in &mut self.peers {
            let silence = now - peer.heard.max(self.pulse.connected);
            if peer.is_member() && silence > heartbeat * SILENCE {
                peer.standing = Standing::Silent;
                self.members -= 1;
                self.news.push_back(News::Silent(*id));
            }
            let gone = now - peer.heard;
            match peer.standing {
                Standing::Left => {
                    if peer.settles.is_some_and(|at| at <= now) {
                        peer.settles = None;
                        settled.push(*id);
                    } else if peer.settles.is_none() && gone > self.config.remembered() {
                        forgotten.push(*id);
                    }
                }
                _ if gone <= self.config.lost_after() || !patient => {}
                _ if peer.deaf || !peer.lives => {
                    if !peer.lives || silence > self.config.remembered() + ttl {
                        forgotten.push(*id);
                    }
                }
                _ => lost.push(*id),
            }
        }
        for id in lost {
            self.lose(now, id);
            settled.push(id);
        }
        for id in settled {
            self.settle_flows(now, id);
        }
        for id in forgotten {
            self.forget(id);
        }
    }

    /// A node is not heard any more: what it sent last nobody will send again.
    fn lose(&mut self, now: Instant, id: NodeId) {
        let since = self.subscribed.values().min().copied().unwrap_or(now);
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.deaf = true;
        if peer.is_member() {
            peer.standing = Standing::Silent;
            self.members -= 1;
            self.news.push_back(News::Silent(id));
        }
        // What an origin sent that was never proven to live waits still.
        let beat = peer.beat.filter(|_| peer.is_proven());
        let beat = beat.map(|beat| peer.clock.ours_at_least(beat));
        let since = beat.unwrap_or(since).max(since);
        self.awaited.remove(&id);
        self.deaf(Some(id), None, since, now);
    }

    /// Nothing more will come of a node.
    fn settle_flows(&mut self, now: Instant, id: NodeId) {
        let flows = self.peers.get(&id).map(|peer| peer.flows.keys().copied());
        let lanes: Vec<Lane> = flows.into_iter().flatten().collect();
        for lane in lanes {
            self.with_flow(now, id, lane, |flow, view, out| flow.settle(view, out));
        }
        self.asking.remove(&id);
    }

    fn forget(&mut self, id: NodeId) {
        if let Some(peer) = self.peers.remove(&id) {
            if peer.standing == Standing::Silent {
                self.remember(id, peer.heard);
            }
            self.counters.implausible += u64::from(!peer.lives);
            for (lane, flow) in peer.flows {
                self.held -= flow.held_bytes();
                self.waiting.remove(&(id, lane));
            }
        }
    }

    /// Remembers when a silent node was heard last: its machine may have been suspended.
    fn remember(&mut self, id: NodeId, heard: Instant) {
        let others = self.forgotten.iter();
        let oldest = others.min_by_key(|(_, heard)| **heard).map(|(id, _)| *id);
        if let Some(oldest) = oldest.filter(|_| self.forgotten.len() >= self.config.peers) {
            self.forgotten.remove(&oldest);
        }
        self.forgotten.insert(id, heard);
    }

    /// Makes room for the origin, if it is new: a peer that is no member gives way.
    fn admit(&mut self, now: Instant, origin: NodeId) -> bool {
        if self.peers.contains_key(&origin) {
            return true;
        }
        if self.peers.len() >= self.config.peers {
            let others = self.peers.iter().filter(|(_, peer)| !peer.is_member());
            let Some(oldest) = others.min_by_key(|(_, peer)| peer.heard).map(|(id, _)| *id) else {
                return false;
            };
            self.forget(oldest);
        }
        // The members there were have been heard by then.
        let settled = self
            .lived
            .map(|lived| lived + self.config.heartbeat * RETURN);
        let came = settled.filter(|settled| *settled <= now).map(|_| now);
        self.peers.insert(origin, Peer::new(now, came));
        true
    }
}
