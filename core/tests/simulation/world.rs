//! Nodes, their clocks, and the bus between them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use midplane_core::bus::{Lane, Limits};
use midplane_core::envelope::{Decoded, Frame, Message, NodeId};
use midplane_core::node::{Config, Counters, Intake, News, Node};
use midplane_core::{Event, Instant, Scope, Target};

use midplane_testkit::random::{Draw, Random};

use crate::forger;

pub(crate) const NODES: usize = 3;
const LIMIT: usize = 4_096;
/// One step of simulated time.
pub(crate) const STEP: Duration = Duration::from_millis(50);
const START: Instant = Instant::from_origin(Duration::from_secs(100));
/// Steps with faults.
const FAULTY: u32 = 600;
/// The same where processes stall, for up to 40 s.
const STALLING: u32 = 1_200;
/// Steps without faults at the end, 13 heartbeats: time enough to heal and to tell what was lost.
const CALM: u32 = 520;
/// How far into the calm nothing may be lost any more, and how far events are published: 9 and 11 heartbeats.
const HEALED: u32 = 360;
const QUIET: u32 = 440;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Frames are lost, repeated, delayed and reordered.
    pub(crate) lossy: bool,
    /// Sessions end, and nodes hear or reach nobody for a while.
    pub(crate) breaks: bool,
    /// Nodes are started anew.
    pub(crate) crashes: bool,
    /// Someone who can reach the bus makes up frames.
    pub(crate) forged: bool,
    /// Processes do not run for up to 40 s, and find what came meanwhile.
    pub(crate) stalls: bool,
    /// The bus stands still for up to 40 s, and then brings what it was given meanwhile.
    pub(crate) standstills: bool,
    /// Three lanes instead of one.
    pub(crate) lanes: bool,
    /// The first node is of a later release: it also sends frames of another version, and messages of another
    /// kind.
    pub(crate) mixed: bool,
}

/// An event that was queued, by the number it carries as text.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) origin: NodeId,
    pub(crate) at: Instant,
    /// The lane and sequence number it was first sent under, and when.
    pub(crate) sent: Option<(Lane, u64, Instant)>,
    /// Whether everything was in order again by then.
    pub(crate) healed: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) at: Instant,
    pub(crate) news: News,
}

/// What one start of one process saw.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) id: NodeId,
    pub(crate) told: Vec<Told>,
    pub(crate) ended: Option<Instant>,
    pub(crate) live: bool,
    /// From when until when it neither heard nor reached the bus, silently.
    pub(crate) cut_off: Vec<(Instant, Instant)>,
    pub(crate) counters: Counters,
}

struct Place {
    node: Node,
    id: NodeId,
    connected: bool,
    /// Until when the process does not run.
    stalled_until: Instant,
    /// Until when the place neither hears nor reaches the bus, silently.
    deaf_until: Instant,
    mute_until: Instant,
    reconnect_at: Instant,
    /// When its clock began.
    born: Instant,
}

struct Flying {
    due: Instant,
    order: u64,
    to: usize,
    /// The session it was sent to; frames do not survive theirs, but on a bus that stood still.
    session: Option<u32>,
    bytes: Bytes,
}

pub(crate) struct World {
    random: Random,
    pub(crate) faults: Faults,
    /// Until when the bus stands still.
    still_until: Instant,
    /// When the faults end.
    calm: Instant,
    healed: bool,
    now: Instant,
    places: Vec<Place>,
    sessions: [u32; NODES],
    flying: Vec<Flying>,
    order: u64,
    pub(crate) published: BTreeMap<u64, Published>,
    pub(crate) lives: Vec<Life>,
    /// Numbers that no message was sent under, for what would have been had waited for too long; and the
    /// times before and behind that the lane was used.
    pub(crate) skipped: Vec<(NodeId, Lane, u64, [Instant; 2])>,
    /// The last number each origin used, by lane, and when.
    pub(crate) used: BTreeMap<(NodeId, Lane), (u64, Instant)>,
    /// How many messages of an unknown kind were queued, and frames of an unknown version sent.
    pub(crate) unknown: (u64, u64),
    /// To whom messages were forged, whose, and on which lanes.
    pub(crate) fooled: BTreeSet<(NodeId, NodeId, Lane)>,
    /// To whom times were forged, and whose.
    pub(crate) mistimed: BTreeSet<(NodeId, NodeId)>,
    next_id: u8,
}

impl World {
    pub(crate) fn run(seed: u64, faults: Faults) -> Self {
        let faulty = if faults.stalls || faults.standstills {
            STALLING
        } else {
            FAULTY
        };
        let mut world = Self {
            random: Random::new(seed),
            faults,
            still_until: Instant::ZERO,
            calm: START + STEP * faulty,
            healed: false,
            now: START,
            places: Vec::new(),
            sessions: [0; NODES],
            flying: Vec::new(),
            order: 0,
            published: BTreeMap::new(),
            lives: Vec::new(),
            skipped: Vec::new(),
            used: BTreeMap::new(),
            unknown: (0, 0),
            fooled: BTreeSet::new(),
            mistimed: BTreeSet::new(),
            next_id: 0,
        };
        for place in 0..NODES {
            let started = world.start();
            world.places.insert(place, started);
        }
        for step in 0..faulty + CALM {
            if step < faulty {
                world.break_something();
            }
            world.healed = step >= faulty + HEALED;
            world.step(step < faulty, step < faulty + QUIET);
        }
        for place in &world.places {
            let live = place.node.is_live();
            if let Some(life) = world.lives.iter_mut().find(|life| life.id == place.id) {
                life.live = live;
                life.counters = place.node.counters();
            }
        }
        world
    }

    fn config(&self) -> Config {
        Config {
            lanes: if self.faults.lanes { 3 } else { 1 },
            ..Config::default()
        }
    }

    fn start(&mut self) -> Place {
        self.next_id += 1;
        let id = NodeId([self.next_id; 16]);
        let mut node = Node::new(id, self.config(), Limits::new(LIMIT));
        (1..self.config().lanes).for_each(|lane| node.subscribed(Instant::ZERO, Lane(lane)));
        self.lives.push(Life {
            id,
            told: Vec::new(),
            ended: None,
            live: false,
            cut_off: Vec::new(),
            counters: Counters::default(),
        });
        Place {
            node,
            id,
            connected: false,
            stalled_until: Instant::ZERO,
            deaf_until: Instant::ZERO,
            mute_until: Instant::ZERO,
            reconnect_at: self.now,
            born: self.now,
        }
    }

    fn break_something(&mut self) {
        let which = self.random.below(NODES as u64) as usize;
        let length = STEP * self.random.below(200) as u32;
        let until = self.now + length;
        if self.faults.breaks && self.random.once_in(60) {
            match self.random.below(4) {
                0 => self.cut(which, length),
                1 => {
                    self.places[which].deaf_until = self.places[which].deaf_until.max(until);
                    self.note_cut_off(which);
                }
                2 => {
                    self.places[which].mute_until = self.places[which].mute_until.max(until);
                    self.note_cut_off(which);
                }
                _ => (0..NODES).for_each(|place| self.cut(place, length)),
            }
        }
        if self.faults.stalls && self.random.once_in(150) {
            let length = Duration::from_secs(1 + self.random.below(40));
            self.places[which].stalled_until = self.now + length;
        }
        // How late a frame is shows beside its origin's others: a few have to have come.
        let acquainted = self.now > START + Duration::from_secs(5);
        if self.faults.standstills && acquainted && self.random.once_in(300) {
            let length = Duration::from_secs(1 + self.random.below(40));
            let until = (self.now + length).min(self.calm);
            self.still_until = self.still_until.max(until);
        }
        if self.faults.forged && self.random.once_in(30) {
            self.forge(which);
        }
        if self.faults.crashes && self.random.once_in(200) {
            let id = self.places[which].id;
            let now = self.now;
            if let Some(life) = self.lives.iter_mut().find(|life| life.id == id) {
                life.ended = Some(now);
            }
            self.sessions[which] += 1;
            self.places[which] = self.start();
        }
    }

    /// Writes down since when a place hears itself no more, and until when.
    fn note_cut_off(&mut self, which: usize) {
        let place = &self.places[which];
        let until = place.deaf_until.max(place.mute_until).min(self.calm);
        let Some(life) = self.lives.iter_mut().find(|life| life.id == place.id) else {
            return;
        };
        match life.cut_off.last_mut() {
            // What is on its way as one ends and the other begins may get through.
            Some((_, end)) if *end > self.now + STEP => *end = until,
            _ => life.cut_off.push((self.now, until)),
        }
    }

    fn forge(&mut self, to: usize) {
        let origin = self.places[self.random.below(NODES as u64) as usize].id;
        let lane = self.random.below(4) as u32;
        let used = self.used.get(&(origin, Lane(lane))).map(|used| used.0);
        let forgery = forger::frame(&mut self.random, origin, lane, used.unwrap_or(0), LIMIT);
        let (whom, whose) = (self.places[to].id, forgery.origin);
        let fooled = forgery.lanes.map(|lane| (whom, whose, Lane(lane)));
        self.fooled.extend(fooled);
        if forgery.stamped {
            self.mistimed.insert((whom, whose));
        }
        self.fly(self.now, to, Some(self.sessions[to]), &forgery.bytes);
    }

    fn cut(&mut self, which: usize, length: Duration) {
        let place = &mut self.places[which];
        place.connected = false;
        place.node.disconnected();
        place.reconnect_at = self.now + length;
        self.sessions[which] += 1;
    }

    fn step(&mut self, faulty: bool, publishes: bool) {
        self.now += STEP;
        let now = self.now;
        for which in 0..NODES {
            let place = &mut self.places[which];
            if !faulty {
                (place.deaf_until, place.mute_until) = (Instant::ZERO, Instant::ZERO);
                place.stalled_until = Instant::ZERO;
                place.reconnect_at = place.reconnect_at.min(now);
            }
            if now < place.stalled_until {
                continue;
            }
            if !place.connected && now >= place.reconnect_at.max(self.still_until) {
                place.connected = true;
                let clock = Instant::from_origin(now - place.born);
                place.node.connected(clock);
            }
            if publishes && self.random.once_in(3) {
                self.publish(which);
            }
        }
        self.land();
        for which in 0..NODES {
            if now < self.places[which].stalled_until {
                continue;
            }
            let clock = Instant::from_origin(now - self.places[which].born);
            self.places[which].node.tick(clock);
            while let Some(sent) = self.places[which].node.transmit(clock) {
                self.send(which, &sent.frame, faulty);
            }
            self.listen(which);
        }
    }

    fn publish(&mut self, which: usize) {
        let number = self.published.len() as u64;
        let target = Target::topic(format!("t{}", self.random.below(5))).unwrap();
        let event = Event::text(number.to_string());
        // What comes before a node is live is none of its gaps.
        let live = self.now > START + STEP * 10;
        let unknown = self.faults.mixed && which == 0 && live && self.random.once_in(2);
        let intake = Intake::new(self.config().lanes, Limits::new(LIMIT));
        let place = &mut self.places[which];
        let clock = Instant::from_origin(self.now - place.born);
        if unknown {
            let body = Bytes::from_static(b"of a later release");
            let message = Message::Unknown { kind: 99, body };
            let queued = intake.message(clock, Lane(0), &message).unwrap();
            place.node.enqueue(queued);
            self.unknown.0 += 1;
        }
        let queued = intake.publish(clock, &Scope::default(), &target.into(), &event);
        place.node.enqueue(queued.unwrap());
        let (origin, at) = (place.id, self.now);
        self.published.insert(
            number,
            Published {
                origin,
                at,
                sent: None,
                healed: self.healed,
            },
        );
    }

    fn send(&mut self, from: usize, bytes: &Bytes, faulty: bool) {
        self.note(bytes);
        if self.faults.mixed && from == 0 && faulty && self.random.once_in(4) {
            let later = [&[2][..], &bytes[1..]].concat();
            self.unknown.1 += 1;
            self.carry(from, &later.into(), faulty);
        }
        self.carry(from, bytes, faulty);
    }

    /// Brings a frame to everyone whom it reaches.
    fn carry(&mut self, from: usize, bytes: &Bytes, faulty: bool) {
        if self.now < self.places[from].mute_until {
            return;
        }
        if self.now < self.still_until {
            for to in 0..NODES {
                self.fly(self.still_until, to, None, bytes);
            }
            return;
        }
        let lossy = self.faults.lossy && faulty;
        for to in 0..NODES {
            if !self.places[to].connected || (lossy && self.random.once_in(20)) {
                continue;
            }
            let copies = if lossy && self.random.once_in(20) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                let slow = if lossy && self.random.once_in(10) {
                    self.random.below(20)
                } else {
                    0
                };
                let due = self.now + STEP * slow as u32;
                self.fly(due, to, Some(self.sessions[to]), bytes);
            }
        }
    }

    fn fly(&mut self, due: Instant, to: usize, session: Option<u32>, bytes: &Bytes) {
        self.order += 1;
        self.flying.push(Flying {
            due,
            order: self.order,
            to,
            session,
            bytes: bytes.clone(),
        });
    }

    /// Writes down which numbers the events of a frame got.
    fn note(&mut self, bytes: &Bytes) {
        let Ok(Decoded::Frame(frame)) = Frame::decode(bytes, LIMIT) else {
            panic!("no frame")
        };
        let (origin, lane) = (frame.header().origin, Lane(frame.header().lane));
        for (number, message) in frame.messages() {
            let used = self.used.insert((origin, lane), (number, self.now));
            let (used, before) = used.unwrap_or_default();
            assert!(used < number, "a number was used twice");
            let when = [before, self.now];
            let skipped = (used + 1..number).map(|skipped| (origin, lane, skipped, when));
            self.skipped.extend(skipped);
            if let Message::Publish { event, .. } = message.unwrap() {
                let published: u64 = event.as_text().unwrap().parse().unwrap();
                let entry = self.published.get_mut(&published).unwrap();
                entry.sent = Some((lane, number, self.now));
            }
        }
    }

    fn land(&mut self) {
        let now = self.now;
        let (mut due, flying): (Vec<_>, Vec<_>) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition(|flying| {
                let runs = now >= self.places[flying.to].stalled_until;
                flying.due <= now && runs && now >= self.still_until
            });
        self.flying = flying;
        due.sort_by_key(|flying| (flying.due, flying.order));
        for landing in due {
            let to = landing.to;
            let place = &mut self.places[to];
            let meant = landing
                .session
                .is_none_or(|session| session == self.sessions[to]);
            let heard = place.connected && meant && now >= place.deaf_until;
            if heard {
                place
                    .node
                    .receive(Instant::from_origin(now - place.born), &landing.bytes);
                self.listen(to);
            }
        }
    }

    /// Writes down the news of a place.
    fn listen(&mut self, which: usize) {
        let at = self.now;
        while let Some(mut news) = self.places[which].node.news() {
            let born = self.places[which].born.since_origin();
            match &mut news {
                News::Reconnect => self.cut(which, STEP),
                News::Deaf { since, until, .. } => {
                    (*since, *until) = (*since + born, *until + born);
                }
                _ => {}
            }
            let id = self.places[which].id;
            if let Some(life) = self.lives.iter_mut().find(|life| life.id == id) {
                life.told.push(Told { at, news });
            }
        }
    }
}
