//! A server, and the clusters that use it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::thread;
use std::time::{Duration, Instant};

use midplane::envelope::NodeId;
use midplane::{Audience, State, Target};
use midplane_conformance::history::{Accounting, Bounds, EventTag, Fact, History, RecordedNode};
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::Proxy;
use midplane_testkit::wait::{block_until, patience};

use crate::broker::Broker;
use crate::cluster::TestCluster;
use crate::shape::{ClusterShape, HEARTBEAT};
use crate::workload::RESIDENTS;

/// The time between two looks at what is waited for.
const POLL: Duration = Duration::from_millis(5);

/// The longest time a publish may take, whatever the bus does: many times shorter than a stall of the bus.
const PUBLISH: Duration = Duration::from_millis(1_500);

/// How the nodes reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Directly.
    Direct,
    /// Through a proxy that injects faults.
    Proxied,
}

/// One server, one cluster on each executor, and what is done to them.
#[derive(Debug)]
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
    pub fn start(broker: &'a dyn Broker, route: Route) -> Self {
        let executors = [Executor::Smol, Executor::TokioCurrent, Executor::TokioMulti];
        Self::start_with(broker, route, &executors, ClusterShape::default())
    }

    /// A cluster of this shape on each of these executors, all nodes live.
    ///
    /// # Panics
    /// When they are not live in time.
    #[must_use]
    pub fn start_with(
        broker: &'a dyn Broker,
        route: Route,
        executors: &[Executor],
        shape: ClusterShape,
    ) -> Self {
        let proxy = Proxy::start(broker.server().address());
        let address = match route {
            Route::Direct => broker.server().address(),
            Route::Proxied => proxy.address(),
        };
        let clusters = executors.iter().map(|executor| {
            let prefix = prefix(*executor);
            let buses = std::iter::repeat_with(|| broker.bus(address, &prefix));
            TestCluster::start(*executor, buses.take(shape.nodes).collect(), shape)
        });
        let harness = Self {
            clusters: clusters.collect(),
            broker,
            proxy,
            bounds: bounds(&shape),
        };
        harness.wait_all_live();
        // By then every node knows every other, and events arrive.
        harness.pass(shape.heartbeat * 2);
        harness
    }

    /// The server.
    #[must_use]
    pub fn broker(&self) -> &dyn Broker {
        self.broker
    }

    /// The address of the server, for a scenario's own bus.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.broker.server().address()
    }

    /// The proxy between the nodes and the server, if they are [routed](Route::Proxied) through it.
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
        self.clusters.iter().flat_map(TestCluster::nodes)
    }

    /// From now on something is wrong: messages may be lost, and nodes may or may not be live.
    pub fn fault_begins(&self) {
        let clusters = self.clusters.iter();
        clusters.for_each(|cluster| cluster.recorder().record(Fact::FaultBegan));
    }

    /// Nothing is wrong any more.
    pub fn fault_ends(&self) {
        let clusters = self.clusters.iter();
        clusters.for_each(|cluster| cluster.recorder().record(Fact::FaultEnded));
    }

    /// From now on no node can receive from the bus, so each has to report in time that it is not live.
    pub fn nobody_may_be_live(&self) {
        self.record_of_each_node(Fact::MustNotBeLive);
    }

    /// Every node may be live again.
    pub fn everybody_may_be_live(&self) {
        self.record_of_each_node(Fact::MayBeLive);
    }

    fn record_of_each_node(&self, fact: fn(NodeId) -> Fact) {
        for cluster in &self.clusters {
            for node in cluster.nodes() {
                cluster.recorder().record(fact(node.id()));
            }
        }
    }

    /// Injects a fault that keeps every node from receiving, and heals it after `length`.
    pub fn outage(&self, length: Duration, inject: impl FnOnce(), heal: impl FnOnce()) {
        self.fault_begins();
        inject();
        self.nobody_may_be_live();
        self.pass(length);
        self.everybody_may_be_live();
        heal();
        self.fault_ends();
    }

    /// Lets time pass: a fault lasts this long.
    pub fn pass(&self, duration: Duration) {
        thread::sleep(duration);
    }

    /// Waits until every node is live.
    ///
    /// # Panics
    /// When one is not in time.
    pub fn wait_all_live(&self) {
        self.wait_states("every node is live", |state| state == State::Live);
    }

    /// Waits until no node is live.
    ///
    /// # Panics
    /// When one still is.
    pub fn wait_none_live(&self) {
        self.wait_states("no node is live", |state| state != State::Live);
    }

    fn wait_states(&self, what: &str, holds: impl Fn(State) -> bool) {
        let start = Instant::now();
        // A node that gets no time to log in tries again.
        let patience = patience() * 3;
        loop {
            let states: Vec<State> = self.nodes().map(|node| node.plane().state()).collect();
            let mut open = states.iter().filter(|state| **state != State::Closed);
            if open.all(|state| holds(*state)) {
                return;
            }
            assert!(
                start.elapsed() < patience,
                "{what}: not within {patience:?}, but {states:?}"
            );
            thread::sleep(POLL);
        }
    }

    /// Requires that no node tried to connect again and again without a pause in the last `lately`.
    ///
    /// # Panics
    /// When one did.
    pub fn assert_few_attempts(&self, lately: Duration) {
        for cluster in &self.clusters {
            let since = cluster.recorder().now().saturating_sub(lately);
            let attempts = cluster.attempts().since(since);
            // The first waits are 31 ms on average, and each is twice the one before.
            let most = cluster.nodes().len() * (lately.as_millis() / 31) as usize;
            assert!(
                attempts <= most,
                "{attempts} attempts to connect within {lately:?} on {:?}",
                cluster.executor()
            );
        }
    }

    /// Waits until all nodes are live and receive from each other, and has every history judged.
    ///
    /// # Panics
    /// When a promise is broken.
    pub fn finish(self) {
        self.wait_all_live();
        for cluster in &self.clusters {
            // Another try each time: what was wrong may end a link only now.
            let what = format!("every node is received on {:?}", cluster.executor());
            block_until(&what, || all_are_received(cluster));
        }
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
        for (executor, thread) in finishing {
            let history = thread.join().expect("the cluster finishes");
            let judged = catch_unwind(|| {
                history.assert_holds(&bounds);
                publishes_are_prompt(&history);
            });
            assert!(judged.is_ok(), "on {executor:?}");
        }
    }
}

/// Whether, within 6 heartbeats, every node receives a new event of every other.
fn all_are_received(cluster: &TestCluster) -> bool {
    let open = |node: &&RecordedNode| node.plane().state() != State::Closed;
    let open: Vec<&RecordedNode> = cluster.nodes().iter().filter(open).collect();
    let [first, second] =
        RESIDENTS.map(|name| Target::connection(name).expect("an id of a few letters"));
    let residents = Audience::from(first).or(second);
    let mut position = cluster.recorder().len();
    let published: HashSet<EventTag> = open
        .iter()
        .map(|node| {
            let mut publisher = node.publisher();
            let _ = publisher.publish(&residents, 0);
            publisher.last()
        })
        .collect();
    let wanted = published.len() * open.len() * RESIDENTS.len();
    let mut received = HashSet::new();
    let until = Instant::now() + HEARTBEAT * 6;
    while Instant::now() < until {
        position = cluster.recorder().visit(position, |record| {
            if let Fact::Delivered {
                attachment,
                tag: Some(tag),
                ..
            } = record.fact
                && published.contains(&tag)
            {
                received.insert((attachment, tag));
            }
        });
        if received.len() >= wanted {
            return true;
        }
        thread::sleep(POLL);
    }
    false
}

/// The prefix of the cluster on this executor.
pub(crate) fn prefix(executor: Executor) -> String {
    format!("faults-{executor:?}").to_lowercase()
}

/// What a history is held to, unless a scenario says otherwise.
fn bounds(shape: &ClusterShape) -> Bounds {
    let config = shape.config();
    Bounds {
        heartbeat: config.heartbeat,
        time_to_live: config.time_to_live,
        lanes: config.lanes,
        delay: Duration::from_secs(2),
        // Two missed heartbeats, and the delays of a loaded machine.
        notice: config.heartbeat * 2 + config.heartbeat / 8 + Duration::from_millis(500),
        queue: config.queue as u64,
        heal: config.heartbeat * 16,
        accounting: Accounting::Connection,
        whole: None,
        clock: Duration::ZERO,
    }
}

/// A publish never waits for the bus.
fn publishes_are_prompt(history: &History) {
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
