//! The bus between the processes, and what goes wrong with it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use midplane::envelope::NodeId;
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::random::{Draw, Random};

use super::checks::ProtocolRun;
use super::faults::ProtocolFaults;
use super::forger;
use super::process::{FRAME, Process, STEP, topic};
use crate::history::{Fact, Recorder, hash, record_frame};

const NODES: usize = 3;

/// Steps with faults.
const FAULTY: u32 = 600;

/// Steps with faults where something stands still for up to 40 s.
const STALLING: u32 = 1_200;

/// Steps without faults at the end, 13 heartbeats: time enough to heal and to report what was lost.
const CALM: u32 = 520;

/// Steps without faults in which events are still published, 11 heartbeats.
const PUBLISHING: u32 = 440;

/// A frame on its way.
struct Flight {
    due: Duration,
    order: u64,
    to: usize,
    /// The link it was sent to; frames do not survive their link, but on a bus that stood still.
    link: Option<u32>,
    bytes: Bytes,
}

struct Network {
    random: Random,
    faults: ProtocolFaults,
    clock: VirtualClock,
    recorder: Recorder,
    processes: Vec<Process>,
    /// By process, the number of its present link.
    links: [u32; NODES],
    in_flight: Vec<Flight>,
    order: u64,
    /// Until when the bus stands still.
    still_until: Duration,
    /// When the faults end.
    calm: Duration,
    /// The last number each origin used, by lane.
    used: BTreeMap<(NodeId, u32), u64>,
    unknown_kinds: u64,
    unknown_versions: u64,
    started: u8,
}

/// The run of this seed: equal seeds give equal runs.
///
/// # Panics
/// When a node panics.
#[must_use]
pub fn run(seed: u64, faults: ProtocolFaults) -> ProtocolRun {
    let still = faults.stalls || faults.standstills;
    let faulty = if still { STALLING } else { FAULTY };
    let mut network = Network::new(seed, faults, STEP * faulty);
    if faults != ProtocolFaults::NONE {
        network.recorder.record(Fact::FaultBegan);
    }
    for step in 0..faulty + CALM {
        if step < faulty {
            network.break_something();
        } else if step == faulty {
            network.recorder.record(Fact::FaultEnded);
        }
        network.step(step < faulty, step < faulty + PUBLISHING);
    }
    let counters = network.processes.iter();
    ProtocolRun {
        faults,
        counters: counters
            .map(|process| (process.id, process.node.counters()))
            .collect(),
        unknown_kinds: network.unknown_kinds,
        unknown_versions: network.unknown_versions,
        history: network.recorder.finish(),
        bounds: faults.bounds(),
    }
}

impl Network {
    fn new(seed: u64, faults: ProtocolFaults, calm: Duration) -> Self {
        let clock = VirtualClock::default();
        let time = clock.clone();
        let mut network = Self {
            random: Random::new(seed),
            faults,
            recorder: Recorder::new(move || time.elapsed()),
            clock,
            processes: Vec::new(),
            links: [0; NODES],
            in_flight: Vec::new(),
            order: 0,
            still_until: Duration::ZERO,
            calm,
            used: BTreeMap::new(),
            unknown_kinds: 0,
            unknown_versions: 0,
            started: 0,
        };
        if faults.forged {
            let hash = hash(&forger::event());
            network.recorder.record(Fact::Forged { hash });
        }
        for _ in 0..NODES {
            let process = network.start();
            network.processes.push(process);
        }
        network
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn start(&mut self) -> Process {
        self.started += 1;
        let id = NodeId([self.started; 16]);
        Process::start(id, self.faults.config(), &self.recorder)
    }

    fn break_something(&mut self) {
        let which = self.random.below(NODES as u64) as usize;
        let length = STEP * self.random.below(200) as u32;
        let until = (self.now() + length).min(self.calm);
        if self.faults.breaks && self.random.once_in(60) {
            match self.random.below(4) {
                0 => self.cut(which, length),
                1 => self.processes[which].isolate(until, false),
                2 => self.processes[which].isolate(until, true),
                _ => (0..NODES).for_each(|process| self.cut(process, length)),
            }
        }
        if self.faults.stalls && self.random.once_in(150) {
            let length = Duration::from_secs(1 + self.random.below(40));
            self.processes[which].stall(length);
        }
        // How late a frame is shows beside its origin's others: a few have to have arrived.
        let acquainted = self.now() > Duration::from_secs(5);
        if self.faults.standstills && acquainted && self.random.once_in(300) {
            let length = Duration::from_secs(1 + self.random.below(40));
            let until = (self.now() + length).min(self.calm);
            self.still_until = self.still_until.max(until);
        }
        if self.faults.forged && self.random.once_in(30) {
            self.forge(which);
        }
        if self.faults.crashes && self.random.once_in(200) {
            self.processes[which].crash();
            self.links[which] += 1;
            self.processes[which] = self.start();
        }
    }

    fn forge(&mut self, to: usize) {
        let origin = self.processes[self.random.below(NODES as u64) as usize].id;
        let lane = self.random.below(4) as u32;
        let used = self.used.get(&(origin, lane)).copied().unwrap_or(0);
        let forgery = forger::forge(&mut self.random, origin, lane, used, FRAME);
        for lane in forgery.lanes {
            self.recorder.record(Fact::Impersonated {
                node: self.processes[to].id,
                origin: forgery.origin,
                lane,
            });
        }
        self.send_to(to, self.now(), Some(self.links[to]), &forgery.bytes);
    }

    fn cut(&mut self, which: usize, length: Duration) {
        self.processes[which].disconnect(length);
        self.links[which] += 1;
    }

    fn step(&mut self, faulty: bool, publishes: bool) {
        self.clock.advance(self.now() + STEP);
        let now = self.now();
        for which in 0..NODES {
            let process = &mut self.processes[which];
            if !faulty {
                process.heal();
            }
            process.record_ends();
            if !process.runs() {
                continue;
            }
            if !process.connected && now >= process.reconnect_at.max(self.still_until) {
                process.connected = true;
                process.node.connected(process.clock());
            }
            if publishes && self.random.once_in(3) {
                self.publish(which, faulty);
            }
        }
        self.land();
        for which in 0..NODES {
            if !self.processes[which].runs() {
                continue;
            }
            let clock = self.processes[which].clock();
            self.processes[which].node.tick(clock);
            while let Some(outbound) = self.processes[which].node.transmit(clock) {
                self.transmit(which, &outbound.frame, faulty);
            }
            self.record_news(which);
        }
    }

    fn publish(&mut self, which: usize, faulty: bool) {
        let target = topic(self.random.below(5));
        // What comes before a node is live is none of its gaps.
        let live = self.now() > STEP * 10;
        let process = &mut self.processes[which];
        if self.faults.mixed && which == 0 && live && faulty && self.random.once_in(2) {
            process.send_unknown();
            self.unknown_kinds += 1;
        }
        process.publish(target);
    }

    fn transmit(&mut self, from: usize, bytes: &Bytes, faulty: bool) {
        record_frame(&self.recorder, bytes, FRAME);
        if self.faults.forged {
            self.note_used(bytes);
        }
        if self.faults.mixed && from == 0 && faulty && self.random.once_in(4) {
            let later = [&[3][..], &bytes[1..]].concat();
            self.unknown_versions += 1;
            self.broadcast(from, &later.into(), faulty);
        }
        self.broadcast(from, bytes, faulty);
    }

    /// Remembers how far a lane's numbers have come, for forgeries that are to lie above them.
    fn note_used(&mut self, bytes: &Bytes) {
        if let Some(((origin, lane), last)) = forger::last_number(bytes, FRAME) {
            self.used.insert((origin, lane), last);
        }
    }

    /// Sends a frame to every node that it reaches.
    fn broadcast(&mut self, from: usize, bytes: &Bytes, faulty: bool) {
        let now = self.now();
        if now < self.processes[from].mute_until {
            return;
        }
        if now < self.still_until {
            (0..NODES).for_each(|to| self.send_to(to, self.still_until, None, bytes));
            return;
        }
        let lossy = self.faults.lossy && faulty;
        for to in 0..NODES {
            if !self.processes[to].connected || (lossy && self.random.once_in(20)) {
                continue;
            }
            let copies = 1 + u32::from(lossy && self.random.once_in(20));
            for _ in 0..copies {
                let steps = match lossy && self.random.once_in(10) {
                    true => self.random.below(20) as u32,
                    false => 0,
                };
                self.send_to(to, now + STEP * steps, Some(self.links[to]), bytes);
            }
        }
    }

    fn send_to(&mut self, to: usize, due: Duration, link: Option<u32>, bytes: &Bytes) {
        self.order += 1;
        self.in_flight.push(Flight {
            due,
            order: self.order,
            to,
            link,
            bytes: bytes.clone(),
        });
    }

    fn land(&mut self) {
        let now = self.now();
        let (mut due, in_flight): (Vec<_>, Vec<_>) = std::mem::take(&mut self.in_flight)
            .into_iter()
            .partition(|flight| {
                let runs = self.processes[flight.to].runs();
                flight.due <= now && runs && now >= self.still_until
            });
        self.in_flight = in_flight;
        due.sort_by_key(|flight| (flight.due, flight.order));
        for flight in due {
            let (to, link) = (flight.to, self.links[flight.to]);
            let process = &mut self.processes[to];
            let link_lives = flight.link.is_none_or(|sent_to| sent_to == link);
            if process.connected && link_lives && now >= process.deaf_until {
                process.node.receive(process.clock(), &flight.bytes);
                self.record_news(to);
            }
        }
    }

    fn record_news(&mut self, which: usize) {
        if self.processes[which].record_news() {
            self.cut(which, STEP);
        }
    }
}
