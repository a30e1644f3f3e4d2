//! Whole nodes over the memory bus.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use midplane::core::Question;
use midplane::node::Config;
use midplane::{
    Answers, Attachment, Audience, Backplane, Cluster, ConnectionId, Event, Memory, Missed, Relay,
    Sink, State, Status, Target,
};
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::lock::locked;
use midplane_testkit::random::Random;
use midplane_testkit::tasks::{ProcessId, Tasks};

use super::id;

/// The time between the starts of two nodes.
const APART: Duration = Duration::from_millis(10);

/// How long nodes have to know each other, in heartbeats.
const SETTLES: u32 = 40;

/// Whole nodes with their drivers, one connection on each, and the memory bus between them: all on one thread and one
/// virtual clock.
pub struct ManyClusters {
    config: Config,
    clock: VirtualClock,
    tasks: Tasks,
    audience: Audience,
    nodes: Vec<RunningCluster>,
    published: usize,
}

struct RunningCluster {
    plane: Cluster,
    process: ProcessId,
    alive: bool,
    /// How often each event came to the connection, and how often it was told that some may be missing.
    got: Arc<Mutex<BTreeMap<String, usize>>>,
    missed: Arc<AtomicUsize>,
    _attachment: Attachment,
}

impl ManyClusters {
    /// Starts these nodes, one after the other, and waits until each knows all others.
    ///
    /// # Panics
    /// When they do not know each other within some heartbeats.
    #[must_use]
    pub fn start(nodes: usize) -> Self {
        let clock = VirtualClock::default();
        let config = Config {
            heartbeat: Duration::from_secs(2),
            time_to_live: Duration::from_secs(12),
            ..Config::default()
        };
        let mut all = Self {
            config,
            tasks: Tasks::new(clock.clone(), Random::new(1)),
            clock,
            audience: Target::topic("t").expect("a topic").into(),
            nodes: Vec::new(),
            published: 0,
        };
        let memory = Memory::new().with_queue(256 << 20);
        for number in 0..nodes {
            all.add(number, &memory);
            all.pass(APART);
        }
        for _ in 0..SETTLES {
            if all
                .statuses()
                .all(|status| status.members.len() == nodes - 1)
            {
                return all;
            }
            all.run(1);
        }
        let known: Vec<usize> = all.statuses().map(|status| status.members.len()).collect();
        panic!("the nodes know only these numbers of others: {known:?}");
    }

    fn add(&mut self, number: usize, memory: &Memory) {
        let process = ProcessId(number as u64 + 1);
        let timer = Arc::new(self.clock.clone());
        let bus = Arc::new(memory.clone());
        let (plane, driver) = Cluster::new(id(number), bus, timer, self.config);
        self.tasks.spawn(process, driver);
        let got = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let missed = Arc::<AtomicUsize>::default();
        let (events, reports) = (got.clone(), missed.clone());
        let sink = Sink::with_missed(
            move |event: &Event| {
                let text = event.as_text().unwrap_or_default().to_owned();
                *locked(&events).entry(text).or_default() += 1;
            },
            move |_: &Missed| {
                reports.fetch_add(1, Ordering::Relaxed);
            },
        );
        let name = ConnectionId::new(format!("c{number}")).expect("a name");
        let attachment = plane.attach(name, sink);
        for target in self.audience.targets() {
            let associated = attachment.associate(target);
            self.tasks.spawn(process, async move {
                // The node may be killed before the bus took the lane.
                let _ = associated.await;
            });
        }
        self.nodes.push(RunningCluster {
            plane,
            process,
            alive: true,
            got,
            missed,
            _attachment: attachment,
        });
    }

    /// Lets this number of heartbeats pass.
    pub fn run(&self, heartbeats: u32) {
        self.pass(self.config.heartbeat * heartbeats);
    }

    /// Lets the time pass after which what a node sent last that died is told.
    pub fn run_until_told(&self) {
        self.pass(self.config.time_to_live + self.config.heartbeat * 2);
    }

    fn pass(&self, time: Duration) {
        self.tasks.run(self.clock.elapsed() + time);
    }

    /// Every node publishes an event for all connections.
    ///
    /// # Panics
    /// When an event is refused.
    pub fn publish_each(&mut self) {
        for node in self.nodes.iter().filter(|node| node.alive) {
            let event = Event::text(self.published.to_string());
            let receipt = node.plane.publish(&self.audience, &event);
            assert_eq!(receipt.relay, Relay::Queued);
            self.published += 1;
        }
    }

    /// The first node counts the connections of all.
    ///
    /// # Panics
    /// When it gets no answers within some heartbeats.
    pub fn count(&self) -> Answers {
        let (plane, audience) = (self.nodes[0].plane.clone(), self.audience.clone());
        let (answers, deadline) = (
            Arc::<Mutex<Option<Answers>>>::default(),
            self.config.heartbeat,
        );
        let place = answers.clone();
        self.tasks.spawn(ProcessId(0), async move {
            let answers = plane.ask(Question::Count(audience), deadline).await;
            *locked(&place) = Some(answers);
        });
        self.run(2);
        let answers = locked(&answers).take();
        answers.expect("a question ends at its deadline")
    }

    /// The last nodes that live are killed.
    pub fn kill(&mut self, nodes: usize) {
        let living = self.nodes.iter_mut().filter(|node| node.alive);
        for node in living.rev().take(nodes) {
            node.alive = false;
            self.tasks.kill(node.process);
        }
    }

    /// How the nodes are that live.
    pub fn statuses(&self) -> impl Iterator<Item = Status> {
        let living = self.nodes.iter().filter(|node| node.alive);
        living.map(|node| node.plane.status())
    }

    /// How often the connections of the nodes that live were told that they may miss something.
    pub fn missed(&self) -> impl Iterator<Item = usize> {
        let living = self.nodes.iter().filter(|node| node.alive);
        living.map(|node| node.missed.load(Ordering::Relaxed))
    }

    /// Fails unless every event since this was asked last came once to every connection of a node that lives.
    ///
    /// # Panics
    /// With a connection and how many events came to it.
    pub fn assert_all_came(&mut self) {
        let published = std::mem::take(&mut self.published);
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.alive) {
            let got = std::mem::take(&mut *locked(&node.got));
            let once = got.values().all(|times| *times == 1);
            assert!(
                got.len() == published && once,
                "{} of {published} events came to node {number}, each once: {once}",
                got.len()
            );
        }
    }

    /// Fails unless every node that lives is in this state, and ready.
    ///
    /// # Panics
    /// With the reasons of a node.
    pub fn assert_ready(&self, state: State) {
        for status in self.statuses() {
            let reasons = &status.reasons;
            assert!(
                status.ready && status.state == state,
                "{:?}, ready: {}, {} reasons, first {:?}",
                status.state,
                status.ready,
                reasons.len(),
                reasons.first()
            );
        }
    }
}

impl fmt::Debug for ManyClusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManyClusters")
            .field("clock", &self.clock)
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
