//! A cluster that cannot be wrong: one loop over everyone, and a fact for each thing it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use midplane::envelope::NodeId;
use midplane::{Audience, ConnectionId, Scope, Target};
use midplane_conformance::history::{
    Fact, History, Mark, Outcome, Reach, Recorder, Relayed, Seat, Tally, Terms, hash,
};
use midplane_testkit::random::{Draw, Random};

pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);

pub(crate) const TERMS: Terms = Terms {
    heartbeat: HEARTBEAT,
    time_to_live: Duration::from_secs(30),
    lanes: 1,
    delay: Duration::from_millis(100),
    notice: Duration::from_secs(7),
    queue: 1_000,
    heal: Duration::from_secs(5),
};

/// A connection that is attached.
struct Person {
    seat: Seat,
    node: usize,
    id: ConnectionId,
    targets: BTreeSet<Target>,
}

/// What a node has to tell, once it hears again.
#[derive(Default)]
struct Ear {
    deaf_since: Option<Duration>,
    /// What it does not hear, by origin, until the next number that it does.
    missing: BTreeMap<usize, (u64, u64)>,
}

pub(crate) struct World {
    recorder: Recorder,
    clock: Arc<AtomicU64>,
    nodes: Vec<NodeId>,
    numbers: Vec<u64>,
    ears: Vec<Ear>,
    people: Vec<Person>,
    publisher: u32,
    published: u32,
    broken: bool,
    /// Whose next frames get lost on the way to whom.
    pub(crate) lossy: BTreeSet<(usize, usize)>,
}

impl World {
    pub(crate) fn new(nodes: u8) -> Self {
        let clock = Arc::new(AtomicU64::new(0));
        let time = clock.clone();
        let recorder = Recorder::new(move || Duration::from_millis(time.load(Ordering::Relaxed)));
        let world = Self {
            publisher: recorder.publisher(),
            recorder,
            clock,
            nodes: (1..=nodes).map(|id| NodeId([id; 16])).collect(),
            numbers: vec![0; usize::from(nodes)],
            ears: (0..nodes).map(|_| Ear::default()).collect(),
            people: Vec::new(),
            published: 0,
            broken: false,
            lossy: BTreeSet::new(),
        };
        for node in world.nodes.clone() {
            world.note(Fact::Started(node));
        }
        world.pass(1_000);
        for node in world.nodes.clone() {
            world.note(Fact::State { node, live: true });
        }
        world.pass(20_000);
        world
    }

    pub(crate) fn note(&self, fact: Fact) {
        self.recorder.note(fact);
    }

    pub(crate) fn now(&self) -> Duration {
        self.recorder.now()
    }

    pub(crate) fn pass(&self, millis: u64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    pub(crate) fn attach(&mut self, node: usize, id: &str, topics: &[&str]) -> Seat {
        let (seat, id) = (self.recorder.seat(), ConnectionId::new(id).unwrap());
        self.note(Fact::Attaching {
            seat,
            node: self.nodes[node],
            scope: Scope::default(),
            connection: id.clone(),
        });
        self.people
            .retain(|person| person.node != node || person.id != id);
        self.note(Fact::Attached(seat));
        let targets = BTreeSet::from([Target::Connection(id.clone())]);
        self.people.push(Person {
            seat,
            node,
            id,
            targets,
        });
        for topic in topics {
            self.associate(seat, topic);
        }
        seat
    }

    pub(crate) fn associate(&mut self, seat: Seat, topic: &str) {
        let target = Target::topic(topic).unwrap();
        self.note(Fact::Associating {
            seat,
            target: target.clone(),
        });
        let person = self.people.iter_mut().find(|person| person.seat == seat);
        person.unwrap().targets.insert(target.clone());
        let reach = Reach::Everywhere;
        self.note(Fact::Associated {
            seat,
            target,
            reach,
        });
    }

    pub(crate) fn dissociate(&mut self, seat: Seat, topic: &str) {
        let target = Target::topic(topic).unwrap();
        self.note(Fact::Dissociating {
            seat,
            target: target.clone(),
        });
        let person = self.people.iter_mut().find(|person| person.seat == seat);
        person.unwrap().targets.remove(&target);
        self.note(Fact::Dissociated { seat, target });
    }

    pub(crate) fn detach(&mut self, seat: Seat) {
        self.note(Fact::Detaching(seat));
        self.people.retain(|person| person.seat != seat);
        self.note(Fact::Left(seat));
        self.note(Fact::Detached(seat));
    }

    /// Publishes to a topic and lets it arrive.
    pub(crate) fn publish(&mut self, node: usize, audience: impl Into<Audience>) -> Mark {
        let audience = audience.into();
        self.published += 1;
        let mark = Mark {
            publisher: self.publisher + node as u32,
            number: self.published,
        };
        self.note(Fact::Publishing {
            mark,
            node: self.nodes[node],
            scope: Scope::default(),
            audience: audience.clone(),
            lane: 0,
            hash: hash(&mark.event(3)),
            bytes: mark.event(3).bytes().len() as u64,
        });
        let accepted = self.deliver(node, mark, &audience);
        self.note(Fact::Published {
            mark,
            tally: Tally {
                accepted,
                ..Tally::default()
            },
            relay: Relayed::Queued,
        });
        self.pass(1);
        self.numbers[node] += 1;
        let (origin, number) = (self.nodes[node], self.numbers[node]);
        self.note(Fact::Sent {
            origin,
            lane: 0,
            number,
            frame: number,
            mark: Some(mark),
        });
        self.pass(1);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            if self.ears[other].deaf_since.is_some() {
                continue;
            }
            if self.lossy.contains(&(node, other)) {
                let missing = self.ears[other].missing.entry(node);
                missing.or_insert((number, number)).1 = number;
                continue;
            }
            self.tell_gap(other, node);
            self.deliver(other, mark, &audience);
        }
        mark
    }

    fn deliver(&self, node: usize, mark: Mark, audience: &Audience) -> usize {
        let here = self.people.iter().filter(|person| {
            person.node == node
                && !audience.excluded().contains(&person.id)
                && audience
                    .targets()
                    .any(|target| person.targets.contains(target))
        });
        here.map(|person| {
            self.note(Fact::Delivered {
                seat: person.seat,
                mark: Some(mark),
                hash: hash(&mark.event(3)),
                outcome: Outcome::Accepted,
            });
        })
        .count()
    }

    fn tell_gap(&mut self, node: usize, origin: usize) {
        if let Some((first, last)) = self.ears[node].missing.remove(&origin) {
            self.note(Fact::Gap {
                node: self.nodes[node],
                origin: self.nodes[origin],
                lane: 0,
                first,
                last,
            });
        }
    }

    pub(crate) fn break_bus(&mut self) {
        if !std::mem::replace(&mut self.broken, true) {
            self.note(Fact::Broken);
        }
    }

    pub(crate) fn cut(&mut self, node: usize) {
        self.break_bus();
        if self.ears[node].deaf_since.is_some() {
            return;
        }
        let at = self.recorder.now();
        self.ears[node].deaf_since = Some(at - HEARTBEAT);
        self.note(Fact::Cut(self.nodes[node]));
        self.pass(6_000);
        let (node, live) = (self.nodes[node], false);
        self.note(Fact::State { node, live });
    }

    /// Everything is well again, and all that was missed is told.
    pub(crate) fn heal(&mut self) {
        if !std::mem::replace(&mut self.broken, false) {
            return;
        }
        self.lossy.clear();
        for which in 0..self.nodes.len() {
            if self.ears[which].deaf_since.is_some() {
                self.note(Fact::Mended(self.nodes[which]));
            }
        }
        self.note(Fact::Healed);
        self.pass(1_000);
        for which in 0..self.nodes.len() {
            let node = self.nodes[which];
            if let Some(since) = self.ears[which].deaf_since.take() {
                self.note(Fact::State { node, live: true });
                self.note(Fact::Deaf {
                    node,
                    origin: None,
                    since,
                    until: self.recorder.now(),
                });
            }
            for origin in 0..self.nodes.len() {
                self.tell_gap(which, origin);
            }
        }
        self.pass(1_000);
    }

    pub(crate) fn finish(mut self) -> History {
        self.heal();
        self.pass(20_000);
        self.recorder.finish()
    }

    /// A run in which anything may happen, and nothing goes wrong that is not told.
    pub(crate) fn random(seed: u64) -> History {
        const TOPICS: [&str; 3] = ["a", "b", "c"];
        let mut random = Random::new(seed);
        let mut world = Self::new(2 + random.below(2) as u8);
        let nodes = world.nodes.len() as u64;
        for step in 0..120 {
            world.pass(random.below(500));
            let node = random.below(nodes) as usize;
            let topic = TOPICS[random.below(3) as usize];
            let seats: Vec<Seat> = world.people.iter().map(|person| person.seat).collect();
            let seat = random.pick(&seats).copied();
            match (random.below(20), seat) {
                (0, _) => drop(world.attach(node, &format!("c{}", random.below(4)), &[topic])),
                (1, _) | (_, None) => drop(world.attach(node, &format!("p{step}"), &[topic])),
                (2, Some(seat)) => world.associate(seat, topic),
                (3, Some(seat)) => world.dissociate(seat, topic),
                (4, Some(seat)) => world.detach(seat),
                (5, _) if random.once_in(3) => world.cut(node),
                (6, _) if random.once_in(3) => {
                    world.break_bus();
                    world.lossy.insert((node, random.below(nodes) as usize));
                }
                (7, _) if random.once_in(2) => world.heal(),
                (8, _) => {
                    let other = Target::topic(TOPICS[random.below(3) as usize]).unwrap();
                    let except = ConnectionId::new(format!("c{}", random.below(4))).unwrap();
                    let audience = Audience::from(Target::topic(topic).unwrap()).or(other);
                    world.publish(node, audience.except(except));
                }
                _ => drop(world.publish(node, Target::topic(topic).unwrap())),
            }
        }
        world.finish()
    }
}
