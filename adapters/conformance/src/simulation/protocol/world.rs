//! The run: what happens, one thing after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use midplane::bus::{Lane, Outbound};
use midplane::envelope::NodeId;
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::random::{Draw, Random};

use super::agenda::{Agenda, Happening};
use super::broker::{Broker, Pipe};
use super::checks::RepairRun;
use super::forger;
use super::kind::RunKind;
use super::member::Member;
use super::mishap;
use super::plan::{Burst, Plan, UPSTREAM};
use super::slowness::{millis, up_to};
use super::topics::LaneTopics;
use crate::history::{Fact, Recorder, hash, record_frame};

/// The most often that a node's timer is due at one moment.
const SPINS: u32 = 1_000;

/// The most members that a run ever starts.
const STARTS: usize = 14;

/// The members, the broker between them, and what is to happen.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) random: Random,
    pub(super) clock: VirtualClock,
    pub(super) recorder: Recorder,
    topics: LaneTopics,
    pub(super) members: Vec<Member>,
    pub(super) broker: Broker,
    agenda: Agenda,
    links: u64,
    /// How often timers were due at the present moment.
    spins: u32,
    /// The last number each origin used, by lane.
    pub(super) used: BTreeMap<(NodeId, u32), u64>,
    /// Of whom frames do not come to whom, and until when.
    pub(super) apart: Vec<(usize, usize, Duration)>,
}

/// The run of this seed: equal seeds give equal runs.
///
/// # Panics
/// When a node panics, or is never done with a moment.
#[must_use]
pub fn run(seed: u64, kind: RunKind) -> RepairRun {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random, kind, seed % 2 == 1);
    let mut world = World::new(plan, random);
    world.begin();
    while world.step() {}
    let members = world.members.iter().filter(|member| member.alive);
    RepairRun {
        queued: members
            .map(|member| (member.id, member.node.queued()))
            .collect(),
        history: world.recorder.finish(),
        bounds: world.plan.bounds(),
        plan: world.plan,
    }
}

impl World {
    fn new(plan: Plan, mut random: Random) -> Self {
        let clock = VirtualClock::default();
        let time = clock.clone();
        Self {
            recorder: Recorder::new(move || time.elapsed()),
            topics: LaneTopics::new(plan.config.lanes),
            broker: Broker::new(Random::new(random.draw()), plan.disorder),
            plan,
            random,
            clock,
            members: Vec::new(),
            agenda: Agenda::default(),
            links: 0,
            spins: 0,
            used: BTreeMap::new(),
            apart: Vec::new(),
        }
    }

    fn begin(&mut self) {
        if !self.plan.troubles.is_empty() || self.plan.kind != RunKind::Gentle {
            self.recorder.record(Fact::FaultBegan);
        }
        if self.plan.kind == RunKind::Forged {
            let hash = hash(&forger::event());
            self.recorder.record(Fact::Forged { hash });
        }
        for _ in 0..self.plan.members {
            let connects = up_to(&mut self.random, millis(1_000));
            self.start(connects);
        }
        for (at, trouble) in self.plan.troubles.clone() {
            self.at(at, Happening::Trouble(trouble));
        }
        self.at(self.plan.calm, Happening::Calm);
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    pub(super) fn at(&mut self, at: Duration, happening: Happening) {
        self.agenda.put(at.max(self.now()), happening);
    }

    pub(super) fn after(&mut self, pause: Duration, happening: Happening) {
        self.at(self.now() + pause, happening);
    }

    /// Does what happens next. Returns false at the end.
    fn step(&mut self) -> bool {
        let Some((at, happening)) = self.agenda.next(self.plan.end) else {
            self.clock.advance(self.plan.end);
            return false;
        };
        if at > self.now() {
            self.spins = 0;
            self.clock.advance(at);
        }
        self.happen(happening);
        true
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Pipe(to, lane) => self.drain(to, lane),
            Happening::Timer(which) => self.timer(which),
            Happening::Sent(from, link, outbound) => self.carry(from, link, &outbound),
            Happening::Burst(which, burst) => self.publish(which, burst),
            Happening::Trouble(trouble) => mishap::inject(self, trouble),
            Happening::Connect(which) => self.connect(which),
            Happening::Connected(which, link) => self.connected(which, link),
            Happening::Served(which, link, lane) => {
                let member = &mut self.members[which];
                if member.link == link && member.wanted.contains_key(&lane) {
                    member.served.insert(lane);
                }
            }
            Happening::Confirmed(which, link, lane, since) => {
                let member = &mut self.members[which];
                if member.runs() && member.link == link && member.wanted.contains_key(&lane) {
                    member.node.subscribed(since, Lane(lane));
                    self.pump(which);
                }
            }
            Happening::Resume(which) => self.resume(which),
            Happening::Gone(which) => self.gone(which),
            Happening::Calm => mishap::heal(self),
        }
    }

    /// Starts a member whose connections are there from the start on.
    pub(super) fn start(&mut self, connects: Duration) {
        let which = self.members.len();
        if which >= STARTS {
            return;
        }
        let id = NodeId([which as u8 + 1; 16]);
        let (config, frame) = (self.plan.config_of(which), self.plan.frame);
        let recorder = &self.recorder;
        let mut member = Member::start(id, config, frame, &self.topics, &self.clock, recorder);
        member.upstream = up_to(&mut self.random, UPSTREAM);
        for lane in 0..config.lanes {
            if !self.random.once_in(5) {
                member.join(lane);
            }
            let slowness = self.plan.slowness[which % self.plan.members][lane as usize];
            let pipe = Pipe {
                slowness,
                ..Pipe::default()
            };
            self.broker.pipes.insert((which, lane), pipe);
        }
        self.members.push(member);
        // One member publishes half of everything.
        let budget = match which {
            0 => self.plan.events / 2,
            _ => self.plan.events / 2 / self.plan.members as u32,
        };
        let from = self.now();
        for burst in self.plan.bursts(&mut self.random, from, budget) {
            self.at(burst.at, Happening::Burst(which, burst));
        }
        self.after(connects, Happening::Connect(which));
    }

    fn publish(&mut self, which: usize, mut burst: Burst) {
        let member = &mut self.members[which];
        if !member.alive || member.leaving.is_some() || self.clock.elapsed() > self.plan.quiet {
            return;
        }
        if !member.runs() {
            let at = member.runs_at;
            self.at(at, Happening::Burst(which, burst));
            return;
        }
        // What is published within a millisecond is published at once.
        let step = burst.pause.max(millis(1));
        let at_once = (millis(1).as_micros() / burst.pause.as_micros().max(1)).max(1) as u32;
        for _ in 0..at_once.min(burst.count) {
            member.publish(burst.lane, self.plan.config.lanes);
            burst.count -= 1;
        }
        self.pump(which);
        if burst.count > 0 {
            self.after(step, Happening::Burst(which, burst));
        }
    }

    /// Does what the node of a member has to do now, and sets its timer.
    pub(super) fn pump(&mut self, which: usize) {
        let member = &mut self.members[which];
        if !member.runs() || member.node.has_left() {
            return;
        }
        let now = member.now();
        if member.node.timeout().is_some_and(|due| due <= now) {
            member.node.tick(now);
        }
        let (link, upstream) = (member.link, member.upstream);
        let mut sent = Vec::new();
        while let Some(outbound) = member.node.transmit(now) {
            sent.push(outbound);
        }
        let reconnect = member.record_news();
        for outbound in sent {
            record_frame(&self.recorder, &outbound.frame, self.plan.frame);
            self.note_used(&outbound.frame);
            let way = self.plan.way(upstream, outbound.echo);
            self.after(way, Happening::Sent(which, link, outbound));
        }
        if self.members[which].node.has_left() {
            let way = self.plan.way(upstream, true);
            self.after(way + millis(1), Happening::Gone(which));
            return;
        }
        if reconnect {
            let pause = millis(10) + up_to(&mut self.random, millis(500));
            self.cut(which, pause);
        }
        self.set_timer(which);
    }

    pub(super) fn set_timer(&mut self, which: usize) {
        let member = &mut self.members[which];
        let Some(due) = member.node.timeout() else {
            member.timer = None;
            return;
        };
        let due = member.moment(due).max(self.clock.elapsed());
        if member.timer != Some(due) {
            member.timer = Some(due);
            self.at(due, Happening::Timer(which));
        }
    }

    fn timer(&mut self, which: usize) {
        let now = self.now();
        let member = &mut self.members[which];
        if member.timer != Some(now) || !member.runs() {
            return;
        }
        member.timer = None;
        self.spins += 1;
        assert!(
            self.spins < SPINS,
            "{:?} is never done at {now:?}",
            member.id
        );
        self.pump(which);
    }

    fn note_used(&mut self, bytes: &Bytes) {
        if self.plan.kind == RunKind::Forged
            && let Some((lane, last)) = forger::last_number(bytes, self.plan.frame)
        {
            self.used.insert(lane, last);
        }
    }

    /// A frame reaches the broker, which sends it to everyone it serves the lane.
    fn carry(&mut self, from: usize, link: u64, outbound: &Outbound) {
        let now = self.now();
        let lane = outbound.lane.0;
        let sender = &self.members[from];
        let mute = sender.mute_until.get(&lane);
        if sender.link != link || mute.is_some_and(|until| now < *until) {
            return;
        }
        self.distribute(Some(from), lane, &outbound.frame, outbound.echo);
    }

    /// The broker sends a frame of a member, or of nobody, to everyone it serves the lane; to that member too where the frame
    /// has an echo.
    pub(super) fn distribute(&mut self, from: Option<usize>, lane: u32, bytes: &Bytes, echo: bool) {
        let now = self.now();
        if now < self.broker.down_until {
            return;
        }
        for to in 0..self.members.len() {
            let (link, serves) = {
                let member = &self.members[to];
                (member.link, member.alive && member.served.contains(&lane))
            };
            let apart = self.apart.iter().any(|(sender, receiver, until)| {
                Some(*sender) == from && *receiver == to && now < *until
            });
            let own = self.plan.spares && !echo && from == Some(to);
            if link == 0 || !serves || apart || own {
                continue;
            }
            let Broker {
                pipes,
                random,
                disorder,
                ..
            } = &mut self.broker;
            let Some(pipe) = pipes.get_mut(&(to, lane)) else {
                continue;
            };
            pipe.take(now, link, bytes, random, *disorder);
            self.wake_pipe(to, lane);
        }
    }

    pub(super) fn wake_pipe(&mut self, to: usize, lane: u32) {
        let Some(pipe) = self.broker.pipes.get_mut(&(to, lane)) else {
            return;
        };
        let Some(due) = pipe.next() else {
            return;
        };
        if pipe.wake.is_none_or(|wake| due < wake) {
            pipe.wake = Some(due);
            self.at(due, Happening::Pipe(to, lane));
        }
    }

    /// What is due leaves the pipe, and arrives.
    fn drain(&mut self, to: usize, lane: u32) {
        let now = self.now();
        let Some(pipe) = self.broker.pipes.get_mut(&(to, lane)) else {
            return;
        };
        if pipe.wake != Some(now) {
            return;
        }
        pipe.wake = None;
        let mut arrived = Vec::new();
        while pipe.next().is_some_and(|due| due <= now) {
            let piped = pipe.frames.pop_front();
            arrived.extend(piped.filter(|_| now >= pipe.deaf_until));
        }
        for piped in arrived {
            let member = &mut self.members[to];
            if member.alive && member.link == piped.link {
                let arrived = (piped.link, Lane(lane), piped.bytes);
                member.inbox.push_back(arrived);
                self.receive(to);
            }
        }
        self.wake_pipe(to, lane);
    }

    /// The node receives what waits for it.
    fn receive(&mut self, which: usize) {
        loop {
            let member = &mut self.members[which];
            if !member.runs() || !member.connected {
                return;
            }
            let Some((link, lane, bytes)) = member.inbox.pop_front() else {
                return;
            };
            if link == member.link {
                member.node.receive(member.now(), lane, &bytes);
                self.pump(which);
            }
        }
    }

    fn connect(&mut self, which: usize) {
        let now = self.now();
        let member = &mut self.members[which];
        if !member.alive || member.link != 0 {
            return;
        }
        let ready = self.broker.down_until.max(member.runs_at);
        if now < ready {
            let pause = up_to(&mut self.random, millis(1_000));
            self.at(ready + pause, Happening::Connect(which));
            return;
        }
        self.links += 1;
        member.link = self.links;
        member.served = member.node.lanes().map(|lane| lane.0).collect();
        member.served.extend(member.wanted.keys());
        member.served.insert(0);
        let link = member.link;
        let pause = up_to(&mut self.random, millis(300));
        self.after(pause, Happening::Connected(which, link));
    }

    fn connected(&mut self, which: usize, link: u64) {
        let member = &mut self.members[which];
        if !member.alive || member.link != link {
            return;
        }
        if !member.runs() {
            let at = member.runs_at;
            self.at(at, Happening::Connected(which, link));
            return;
        }
        member.connected = true;
        member.subscribe();
        member.node.connected(member.now());
        self.pump(which);
        self.receive(which);
    }

    /// The link of a member ends; the member connects again after this pause.
    pub(super) fn cut(&mut self, which: usize, pause: Duration) {
        let member = &mut self.members[which];
        if !member.alive {
            return;
        }
        member.link = 0;
        member.served.clear();
        member.inbox.clear();
        if member.runs() {
            member.connected = false;
            member.node.disconnected();
            member.record_news();
            self.set_timer(which);
        }
        self.after(pause, Happening::Connect(which));
    }

    fn resume(&mut self, which: usize) {
        let member = &mut self.members[which];
        if !member.runs() {
            return;
        }
        member.end_stall();
        if member.connected && member.link == 0 {
            member.connected = false;
            member.node.disconnected();
        }
        // Either what waits is looked at first, or the timers.
        if self.random.once_in(2) {
            self.receive(which);
        }
        self.pump(which);
        self.receive(which);
    }

    fn gone(&mut self, which: usize) {
        let member = &mut self.members[which];
        if member.alive {
            let (node, unsent) = (member.id, member.node.queued());
            member.end(Fact::Closed { node, unsent });
        }
    }
}
