//! Nodes as values on a small simulated bus: frames in flight, links that come and go, a clock that the test moves.

use std::collections::{BTreeMap, VecDeque};
use std::iter;
use std::time::Duration;

use bytes::Bytes;
use midplane_core::bus::{Lane, Limits, Outbound, Signing};
use midplane_core::envelope::{Decoded, Frame, NodeId};
use midplane_core::node::{Config, Intake, News, Node, NodeCounters};
use midplane_core::{Audience, Event, Instant, LaneMap, Question, Reason, Scope, Target};

use crate::history::{EventName, Got, Heard, History};

pub(crate) const LIMITS: Limits = Limits::new(1 << 16);

/// How long a node that gives up its link is without one.
const RELINK: Duration = Duration::from_millis(250);

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn id(node: usize) -> NodeId {
    NodeId([node as u8 + 1; 16])
}

/// The lane that the frame was sent on.
pub(crate) fn lane_of(frame: &Bytes) -> Lane {
    match Frame::decode(frame, LIMITS.frame) {
        Ok(Decoded::Frame(frame)) => Lane(frame.header().lane),
        other => panic!("no frame: {other:?}"),
    }
}

/// One frame on its way from one node to another, or to itself.
pub(crate) struct Passage<'a> {
    pub(crate) at: Duration,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) lane: u32,
    pub(crate) frame: &'a Bytes,
}

impl Passage<'_> {
    pub(crate) fn is(&self, from: usize, to: usize) -> bool {
        (self.from, self.to) == (from, to)
    }

    pub(crate) fn within(&self, begin: Duration, end: Duration) -> bool {
        (begin..end).contains(&self.at)
    }

    /// Whether the frame has an event of the wire in it.
    pub(crate) fn has_events(&self) -> bool {
        self.frame.contains(&b'<')
    }

    /// Whether the frame has this event in it.
    pub(crate) fn has(&self, from: usize, lane: u32, number: u64) -> bool {
        let text = EventName { from, lane, number }.text();
        let mut windows = self.frame.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    }
}

/// How long a frame is under way, or `None` if it is lost.
type Route = Box<dyn FnMut(&Passage<'_>) -> Option<Duration>>;

struct Flight {
    to: usize,
    epoch: u64,
    frame: Bytes,
}

struct Station {
    node: Node,
    linked: bool,
    /// Counts the links.
    epoch: u64,
    /// When the node gets its next link.
    relink: Option<Duration>,
    /// What came while the node slept.
    inbox: VecDeque<Bytes>,
}

pub(crate) struct Wire {
    now: Duration,
    step: Duration,
    pub(crate) config: Config,
    stations: Vec<Station>,
    flying: BTreeMap<(Duration, u64), Flight>,
    /// When the last frame of a sender on a lane arrives at a receiver: none overtakes another.
    last: BTreeMap<(usize, usize, u32), Duration>,
    flights: u64,
    route: Route,
    next: BTreeMap<(usize, u32), u64>,
    topics: Vec<Audience>,
    /// What came of it all.
    pub(crate) history: History,
    /// The largest frame that the bus takes, in bytes, and how many events were lost with frames that it did not take.
    pub(crate) largest: usize,
    pub(crate) refused: u64,
    /// Frames with events that were sent, and their bytes.
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

impl Wire {
    /// A bus with this many nodes, live, on all lanes, with all news taken.
    pub(crate) fn new(nodes: usize, config: Config) -> Self {
        let mut wire = Self::down(nodes, config);
        (0..nodes).for_each(|node| wire.link(node));
        wire.run(config.heartbeat * 3);
        assert!((0..nodes).all(|node| wire.is_live(node)));
        wire.forget();
        wire
    }

    /// A bus with this many nodes without links. Lane `n` has the topic `n`.
    pub(crate) fn down(nodes: usize, config: Config) -> Self {
        let map = LaneMap::new(config.lanes);
        let topic = |lane: u32| {
            let audiences = (0..).map(|n| Audience::from(Target::topic(format!("t{n}")).unwrap()));
            let mut on = audiences
                .filter(move |audience| map.lane(&Scope::default(), audience) == Lane(lane));
            on.next().unwrap()
        };
        let mut wire = Self {
            now: Duration::ZERO,
            step: ms(10),
            config,
            stations: Vec::new(),
            flying: BTreeMap::new(),
            last: BTreeMap::new(),
            flights: 0,
            route: Box::new(|_| Some(ms(1))),
            next: BTreeMap::new(),
            topics: (0..config.lanes).map(topic).collect(),
            history: History::default(),
            largest: usize::MAX,
            refused: 0,
            frames: 0,
            bytes: 0,
        };
        for _ in 0..nodes {
            wire.add();
        }
        wire
    }

    /// One more node, without a link.
    pub(crate) fn add(&mut self) -> usize {
        let node = self.stations.len();
        self.stations.push(Station {
            node: Node::new(id(node), self.config, LIMITS),
            linked: false,
            epoch: 0,
            relink: None,
            inbox: VecDeque::new(),
        });
        self.history.heard.push(Heard {
            // No two clocks agree.
            ahead: secs(1_000 * node as u64),
            ..Heard::default()
        });
        node
    }

    /// The node, which has no link yet, is made anew: it signs for a bus of this prefix, and verifies.
    pub(crate) fn sign(&mut self, node: usize, signing: &Signing, prefix: &str) {
        let unsigned = Node::new(id(node), self.config, LIMITS);
        self.stations[node].node = unsigned.with_signing(signing, prefix);
    }

    /// Asks all other nodes, for a second.
    pub(crate) fn ask(&mut self, node: usize, question: &Question) -> u64 {
        let clock = self.clock(node);
        let asked =
            self.stations[node]
                .node
                .ask(clock, clock + secs(1), &Scope::default(), question);
        asked.expect("a question is asked")
    }

    /// All that the node told but events.
    pub(crate) fn told(&self, node: usize) -> &[News] {
        &self.history.heard[node].told
    }

    /// Why the node is not sure to reach the others.
    pub(crate) fn reasons(&self, node: usize) -> Vec<Reason> {
        self.stations[node].node.reasons(self.clock(node))
    }

    /// Whether the one holds the other for a member.
    pub(crate) fn knows(&self, node: usize, other: usize) -> bool {
        let other = id(other);
        let mut members = self.stations[node].node.members();
        members.any(|(member, _)| member == other)
    }

    /// How many other nodes the node keeps track of.
    pub(crate) fn peers(&self, node: usize) -> usize {
        self.stations[node].node.peers()
    }

    pub(crate) fn nodes(&self) -> usize {
        self.stations.len()
    }

    pub(crate) fn counters(&self, node: usize) -> NodeCounters {
        self.stations[node].node.counters()
    }

    pub(crate) fn with_step(mut self, step: Duration) -> Self {
        self.step = step;
        self
    }

    pub(crate) fn route(&mut self, route: impl FnMut(&Passage<'_>) -> Option<Duration> + 'static) {
        self.route = Box::new(route);
    }

    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// The present instant on the node's clock.
    pub(crate) fn clock(&self, node: usize) -> Instant {
        self.history.clock(node, self.now)
    }

    /// An audience of the lane.
    pub(crate) fn topic(&self, lane: u32) -> &Audience {
        &self.topics[lane as usize]
    }

    /// Forgets what was published, delivered and told until now.
    pub(crate) fn forget(&mut self) {
        self.history.forget(self.now);
    }

    pub(crate) fn is_live(&self, node: usize) -> bool {
        self.stations[node].node.is_live()
    }

    /// Opens a link, which subscribes all lanes.
    pub(crate) fn link(&mut self, node: usize) {
        let lanes: Vec<u32> = (0..self.config.lanes).collect();
        self.link_to(node, &lanes);
    }

    /// Opens a link, which subscribes these lanes beside those the node is on.
    pub(crate) fn link_to(&mut self, node: usize, lanes: &[u32]) {
        let clock = self.clock(node);
        let station = &mut self.stations[node];
        station.linked = true;
        station.epoch += 1;
        station.relink = None;
        station.node.connected(clock);
        for lane in lanes {
            self.subscribe(node, *lane);
        }
    }

    pub(crate) fn subscribe(&mut self, node: usize, lane: u32) {
        let clock = self.clock(node);
        let lanes = &mut self.history.heard[node].lanes;
        lanes.entry(lane).or_insert(self.now);
        self.stations[node].node.subscribed(clock, Lane(lane));
    }

    pub(crate) fn unsubscribe(&mut self, node: usize, lane: u32) {
        self.history.heard[node].lanes.remove(&lane);
        self.stations[node].node.unsubscribed(Lane(lane));
    }

    /// The node's link ends, and with it what was on its way to the node.
    pub(crate) fn cut(&mut self, node: usize) {
        let station = &mut self.stations[node];
        station.linked = false;
        station.inbox.clear();
        station.node.disconnected();
        self.take_news(node);
        self.stations[node].relink = None;
    }

    /// The node does nothing until it is woken; what comes waits for it.
    pub(crate) fn sleep(&mut self, node: usize) {
        self.history.heard[node].asleep = true;
    }

    pub(crate) fn wake(&mut self, node: usize) {
        self.history.heard[node].asleep = false;
    }

    /// The node's machine is suspended while this happens, and the node's clock with it; its link is gone.
    pub(crate) fn suspend(&mut self, node: usize, act: impl FnOnce(&mut Self)) {
        let begin = self.now;
        self.cut(node);
        self.sleep(node);
        act(self);
        self.history.heard[node].ahead -= self.now - begin;
        self.wake(node);
    }

    /// The node fills frames with at most this many bytes.
    pub(crate) fn limit_frames(&mut self, node: usize, bytes: usize) {
        self.stations[node].node.limit_frames(bytes);
    }

    /// The node is gone, without a word.
    pub(crate) fn kill(&mut self, node: usize) {
        self.cut(node);
        self.sleep(node);
    }

    /// The node says goodbye, and is gone when the goodbye is sent.
    pub(crate) fn leave(&mut self, node: usize) {
        let clock = self.clock(node);
        self.stations[node].node.leave(clock);
        self.drive(node);
    }

    pub(crate) fn publish(&mut self, from: usize, lane: u32) -> EventName {
        self.publish_sized(from, lane, 0)
    }

    /// Publishes an event with so many bytes more than its name.
    pub(crate) fn publish_sized(&mut self, from: usize, lane: u32, bytes: usize) -> EventName {
        let next = self.next.entry((from, lane)).or_default();
        let number = *next;
        *next += 1;
        let event = EventName { from, lane, number };
        let body = Event::text(event.text() + &" ".repeat(bytes));
        let intake = Intake::new(self.config.lanes, LIMITS);
        let (clock, audience) = (self.clock(from), &self.topics[lane as usize]);
        let queued = intake.publish(clock, &Scope::default(), audience, &body);
        self.stations[from].node.enqueue(queued.unwrap());
        self.history.published.insert(event, self.now);
        event
    }

    pub(crate) fn publish_many(&mut self, from: usize, lane: u32, count: u64) {
        for _ in 0..count {
            self.publish(from, lane);
        }
    }

    /// Publishes one event after the other, a second times `per_second`, while the time passes.
    pub(crate) fn flow(&mut self, duration: Duration, per_second: u64, sources: &[(usize, u32)]) {
        let end = self.now + duration;
        let begin = self.now;
        let mut sent = 0;
        while self.now < end {
            let passed = self.now - begin + self.step;
            let due = per_second * passed.as_micros() as u64 / 1_000_000;
            for _ in sent..due {
                for (from, lane) in sources {
                    self.publish(*from, *lane);
                }
            }
            sent = due;
            self.run(self.step);
        }
    }

    /// Hands a frame to a node as if the bus brought it on the lane that it names.
    pub(crate) fn inject(&mut self, to: usize, frame: &Bytes) {
        self.inject_on(to, lane_of(frame), frame);
    }

    /// Hands a frame to a node as if the bus brought it on this lane.
    pub(crate) fn inject_on(&mut self, to: usize, lane: Lane, frame: &Bytes) {
        let clock = self.clock(to);
        self.stations[to].node.receive(clock, lane, frame);
        self.take_news(to);
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now = (self.now + self.step).min(end);
            self.arrive();
            for node in 0..self.stations.len() {
                self.drive(node);
            }
        }
    }

    fn arrive(&mut self) {
        while let Some(first) = self.flying.first_entry()
            && first.key().0 <= self.now
        {
            let Flight { to, epoch, frame } = first.remove();
            let station = &mut self.stations[to];
            if !station.linked || station.epoch != epoch {
                continue;
            }
            if self.history.heard[to].asleep {
                station.inbox.push_back(frame);
            } else {
                self.inject(to, &frame);
            }
        }
    }

    fn drive(&mut self, node: usize) {
        if self.history.heard[node].asleep {
            return;
        }
        if self.stations[node].relink.is_some_and(|at| at <= self.now) {
            self.link_to(node, &[]);
        }
        while let Some(frame) = self.stations[node].inbox.pop_front() {
            self.inject(node, &frame);
        }
        let clock = self.clock(node);
        let station = &mut self.stations[node];
        if station.node.timeout().is_some_and(|due| due <= clock) {
            station.node.tick(clock);
        }
        station.node.expire(clock);
        self.take_news(node);
        while self.stations[node].linked
            && let Some(sent) = self.stations[node].node.transmit(clock)
        {
            self.hand_over(node, &sent);
        }
        self.take_news(node);
    }

    fn hand_over(&mut self, node: usize, sent: &Outbound) {
        if sent.frame.len() > self.largest {
            let refused = self.stations[node].node.refused(sent);
            self.refused += refused.lost;
            for frame in refused.instead {
                self.hand_over(node, &frame);
            }
            return;
        }
        if sent.frame.contains(&b'<') {
            self.frames += 1;
            self.bytes += sent.frame.len() as u64;
        }
        for to in 0..self.stations.len() {
            self.send(node, to, sent.lane.0, &sent.frame);
        }
    }

    fn send(&mut self, from: usize, to: usize, lane: u32, frame: &Bytes) {
        let station = &self.stations[to];
        let lanes = &self.history.heard[to].lanes;
        let subscribed = station.linked && (lane == 0 || lanes.contains_key(&lane));
        let at = self.now;
        let passage = Passage {
            at,
            from,
            to,
            lane,
            frame,
        };
        let Some(delay) = (self.route)(&passage).filter(|_| subscribed) else {
            return;
        };
        let last = self.last.entry((from, to, lane)).or_default();
        *last = (at + delay).max(*last);
        self.flights += 1;
        let epoch = station.epoch;
        let frame = frame.clone();
        let flight = Flight { to, epoch, frame };
        self.flying.insert((*last, self.flights), flight);
    }

    fn take_news(&mut self, node: usize) {
        let (station, heard) = (&mut self.stations[node], &mut self.history.heard[node]);
        let mut reconnect = false;
        for news in iter::from_fn(|| station.node.news()) {
            if let News::Event { event, .. } = &news {
                let event = EventName::parse(event.as_text().unwrap());
                let at = self.now;
                heard.got.push(Got { event, at });
                continue;
            }
            reconnect |= news == News::Reconnect;
            heard.told.push(news);
        }
        if reconnect {
            self.cut(node);
            self.stations[node].relink = Some(self.now + RELINK);
        }
    }
}

/// A config with which nodes keep nothing of what they sent, and so repair nothing.
pub(crate) fn forgetful(config: Config) -> Config {
    Config { keep: 0, ..config }
}

/// A config with which nodes hold back no more than this, in bytes, while they wait for a repair.
pub(crate) fn holding(hold: usize, config: Config) -> Config {
    Config { hold, ..config }
}
