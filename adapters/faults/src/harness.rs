//! A server, and the clusters on which nodes use it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use midplane::{Audience, State, Target};
use midplane_conformance::history::{Bounds, EventTag, Fact, History, RecordedNode};
use midplane_testkit::executor::Executor;
use midplane_testkit::patience;
use midplane_testkit::proxy::Proxy;

use crate::{Broker, ClusterShape, HEARTBEAT, TestCluster};

/// How often a scenario looks whether something has come about.
const GLANCE: Duration = Duration::from_millis(5);

/// No publish takes longer, whatever the bus does: a stall of the bus does, many times.
const PUBLISH: Duration = Duration::from_millis(1_500);

/// How the nodes reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Themselves.
    Direct,
    /// By way of a proxy that plays faults.
    Proxied,
}

/// A play: one server, three clusters, and what is done to them.
pub struct Harness<'a> {
    broker: &'a dyn Broker,
    proxy: Proxy,
    clusters: Vec<TestCluster>,
    /// What the histories are held to.
    pub bounds: Bounds,
}

impl<'a> Harness<'a> {
    /// Two nodes on each executor, all of them live.
    ///
    /// # Panics
    /// When they are not live in time.
    #[must_use]
    pub fn open(broker: &'a dyn Broker, way: Way) -> Self {
        let executors = [Executor::Smol, Executor::TokioCurrent, Executor::TokioMulti];
        Self::with(broker, way, &executors, ClusterShape::default())
    }

    /// A shape on each of these executors, all nodes of it live.
    ///
    /// # Panics
    /// When they are not live in time.
    #[must_use]
    pub fn with(
        broker: &'a dyn Broker,
        way: Way,
        executors: &[Executor],
        shape: ClusterShape,
    ) -> Self {
        let proxy = Proxy::start(broker.server().address());
        let address = match way {
            Way::Direct => broker.server().address(),
            Way::Proxied => proxy.address(),
        };
        let clusters = executors.iter().map(|executor| {
            let prefix = prefix(*executor);
            let buses = (0..shape.nodes)
                .map(|_| broker.bus(address, &prefix))
                .collect();
            TestCluster::start(*executor, buses, shape)
        });
        let harness = Self {
            clusters: clusters.collect(),
            broker,
            proxy,
            bounds: bounds(&shape),
        };
        harness.all_live();
        // Everyone has heard of everyone, and what they publish comes.
        harness.pass(shape.heartbeat * 2);
        harness
    }

    /// The server.
    #[must_use]
    pub fn broker(&self) -> &dyn Broker {
        self.broker
    }

    /// What is between the nodes and the server, if they go by it.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The clusters.
    #[must_use]
    pub fn clusters(&self) -> &[TestCluster] {
        &self.clusters
    }

    /// Every node of every cluster.
    pub fn nodes(&self) -> impl Iterator<Item = &RecordedNode> {
        self.clusters.iter().flat_map(|cluster| cluster.nodes())
    }

    /// From now on something is wrong.
    pub fn fault_begins(&self) {
        self.each(|_| Fact::FaultBegan);
    }

    /// Nothing is wrong any more.
    pub fn fault_ends(&self) {
        self.each(|_| Fact::FaultEnded);
    }

    /// From now on nobody hears the bus, and must say so.
    pub fn nobody_may_be_live(&self) {
        self.each_node(Fact::MustNotBeLive);
    }

    /// Everybody may hear it again.
    pub fn everybody_may_be_live(&self) {
        self.each_node(Fact::MayBeLive);
    }

    fn each(&self, fact: impl Fn(&TestCluster) -> Fact) {
        for cluster in &self.clusters {
            cluster.recorder().record(fact(cluster));
        }
    }

    fn each_node(&self, fact: impl Fn(midplane::envelope::NodeId) -> Fact) {
        for cluster in &self.clusters {
            for node in cluster.nodes() {
                cluster.recorder().record(fact(node.id()));
            }
        }
    }

    /// Lets time pass: a fault lasts for so long.
    pub fn pass(&self, duration: Duration) {
        thread::sleep(duration);
    }

    /// Waits until every node is live.
    ///
    /// # Panics
    /// When one is not in time.
    pub fn all_live(&self) {
        self.all("every node is live", |state| state == State::Live);
    }

    /// Waits until no node is.
    ///
    /// # Panics
    /// When one still is.
    pub fn none_live(&self) {
        self.all("no node is live", |state| state != State::Live);
    }

    /// Waits until this holds.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            let patience = patience();
            assert!(
                start.elapsed() < patience,
                "{what}: not within {patience:?}"
            );
            thread::sleep(GLANCE);
        }
    }

    /// Of late, nobody tried to connect again and again without a pause.
    ///
    /// # Panics
    /// When somebody did.
    pub fn attempts_are_few(&self, lately: Duration) {
        for cluster in &self.clusters {
            let since = cluster.recorder().now().saturating_sub(lately);
            let attempts = cluster.attempts().since(since);
            // The first waits are 31 ms on average, and each is twice the one before.
            let most = cluster.nodes().len() * (lately.as_millis() / 31) as usize;
            assert!(
                attempts <= most,
                "{attempts} tries to connect within {lately:?} on {:?}",
                cluster.executor()
            );
        }
    }

    fn all(&self, what: &str, holds: impl Fn(State) -> bool) {
        let start = Instant::now();
        loop {
            let states: Vec<State> = self.nodes().map(|node| node.plane().state()).collect();
            let mut open = states.iter().filter(|state| **state != State::Closed);
            if open.all(|state| holds(*state)) {
                return;
            }
            // Nodes that get no time to log in try again.
            let patience = patience() * 3;
            assert!(
                start.elapsed() < patience,
                "{what}: not within {patience:?}, but {states:?}"
            );
            thread::sleep(GLANCE);
        }
    }

    /// Lets every node publish an event and waits until every other has it, again if need be: what was wrong
    /// may end a session only now. Nobody is deaf or mute.
    fn everyone_is_heard(&self) {
        let start = Instant::now();
        for cluster in &self.clusters {
            while !all_are_heard(cluster) {
                let patience = patience();
                assert!(
                    start.elapsed() < patience,
                    "everyone is heard: not within {patience:?} on {:?}",
                    cluster.executor()
                );
            }
        }
    }

    /// Waits until everyone is live and all is told, and has every history judged.
    ///
    /// # Panics
    /// When a promise is broken.
    pub fn finish(self) {
        self.all_live();
        self.everyone_is_heard();
        let Self {
            clusters, bounds, ..
        } = self;
        // All clusters come to rest at the same time.
        let finishing: Vec<_> = clusters
            .into_iter()
            .map(|cluster| {
                let executor = cluster.executor();
                (executor, thread::spawn(move || cluster.finish()))
            })
            .collect();
        let histories: Vec<_> = finishing
            .into_iter()
            .map(|(executor, thread)| (executor, thread.join().expect("the cluster finishes")))
            .collect();
        for (executor, history) in &histories {
            let judged = std::panic::catch_unwind(|| {
                history.assert_holds(&bounds);
                prompt(history);
            });
            assert!(judged.is_ok(), "on {executor:?}");
        }
    }
}

impl std::fmt::Debug for Harness<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness")
            .field("clusters", &self.clusters)
            .finish_non_exhaustive()
    }
}

/// Whether, within some time, every node hears an event of every other.
fn all_are_heard(cluster: &TestCluster) -> bool {
    let open = |node: &&RecordedNode| node.plane().state() != State::Closed;
    let open: Vec<&RecordedNode> = cluster.nodes().iter().filter(open).collect();
    let [first, second] =
        ["first", "second"].map(|name| Target::connection(name).expect("an id of a few letters"));
    let all = Audience::from(first).or(second);
    let mut looked = cluster.recorder().len();
    let said: HashSet<EventTag> = open
        .iter()
        .map(|node| {
            let mut publisher = node.publisher();
            let _ = publisher.publish(&all, 0);
            publisher.last()
        })
        .collect();
    // Each node has two connections that stay.
    let wanted = said.len() * open.len() * 2;
    let mut heard = HashSet::new();
    let until = Instant::now() + HEARTBEAT * 6;
    while Instant::now() < until {
        looked = cluster.recorder().visit(looked, |record| {
            if let Fact::Delivered {
                attachment,
                tag: Some(tag),
                ..
            } = record.fact
                && said.contains(&tag)
            {
                heard.insert((attachment, tag));
            }
        });
        if heard.len() >= wanted {
            return true;
        }
        thread::sleep(GLANCE);
    }
    false
}

/// Where the nodes on this executor meet.
pub(crate) fn prefix(executor: Executor) -> String {
    format!("faults-{executor:?}").to_lowercase()
}

/// An address of the server that scenarios may use for a bus of their own.
pub(crate) fn address(harness: &Harness<'_>) -> SocketAddr {
    harness.broker().server().address()
}

/// What a history is held to, if a scenario does not say otherwise.
fn bounds(shape: &ClusterShape) -> Bounds {
    let config = shape.config();
    Bounds {
        heartbeat: config.heartbeat,
        time_to_live: config.time_to_live,
        lanes: config.lanes,
        delay: Duration::from_secs(2),
        // Two missed heartbeats, and what a loaded machine takes.
        notice: config.heartbeat * 2 + config.heartbeat / 8 + Duration::from_millis(500),
        queue: config.queue as u64,
        heal: config.heartbeat * 16,
    }
}

/// Local delivery never waits for the bus.
fn prompt(history: &History) {
    let mut called = HashMap::new();
    for record in &history.records {
        match &record.fact {
            Fact::Publishing { tag, .. } => drop(called.insert(*tag, record.at)),
            Fact::Published { tag, .. } => {
                let took = record.at - called[tag];
                assert!(took < PUBLISH, "the publish of {tag} took {took:?}");
            }
            _ => {}
        }
    }
}
