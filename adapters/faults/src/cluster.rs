//! Nodes with their connections and publishers, on one executor.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::FutureExt;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::future::BoxFuture;
use midplane::bus::Bus;
use midplane::node::Config;
use midplane::{
    Audience, Backplane, Cluster, ConnectionId, Scope, State, Target, Timer, fresh_node_id,
};
use midplane_conformance::history::{
    Fact, History, RecordedNode, Recorder, SinkOutcome, StallWatch, TappedBus,
};
use midplane_testkit::Random;
use midplane_testkit::executor::Executor;

use crate::ConnectAttempts;

/// The time between two heartbeats. The nodes of a test share two cores with others, so it leaves room for
/// being late.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// Who is on a cluster.
#[derive(Debug, Clone, Copy)]
pub struct ClusterShape {
    /// How many nodes.
    pub nodes: usize,
    /// The time between two heartbeats of each.
    pub heartbeat: Duration,
    /// The time between two events that each publishes, or so.
    pub pace: Duration,
    /// How many lanes the bus is divided into.
    pub lanes: u32,
}

impl Default for ClusterShape {
    fn default() -> Self {
        Self {
            nodes: 2,
            heartbeat: HEARTBEAT,
            pace: Duration::from_millis(25),
            lanes: 1,
        }
    }
}

impl ClusterShape {
    /// How its nodes are set up.
    pub(crate) fn config(&self) -> Config {
        Config {
            heartbeat: self.heartbeat,
            lanes: self.lanes,
            ..Config::default()
        }
    }
}

/// What all connections that stay are in.
const LOBBY: &str = "lobby";

/// The connections of each node that stay.
const STAY: [&str; 2] = ["first", "second"];

/// Nodes on one executor, on a thread of its own, that publish and hear until they are to finish.
pub struct TestCluster {
    executor: Executor,
    nodes: Vec<RecordedNode>,
    recorder: Recorder,
    attempts: ConnectAttempts,
    /// What is to be run here; without it everyone comes to rest.
    orders: Option<UnboundedSender<BoxFuture<'static, ()>>>,
    thread: Option<JoinHandle<History>>,
}

/// A runtime's timer, and how it spawns.
#[derive(Clone)]
struct Runtime {
    timer: Arc<dyn Timer>,
    spawn: fn(BoxFuture<'static, ()>),
}

impl Runtime {
    fn of(executor: Executor) -> Self {
        match executor {
            Executor::Smol => Self {
                timer: Arc::new(midplane::smol::Timer::new()),
                spawn: |future| midplane::smol::spawn(future),
            },
            _ => Self {
                timer: Arc::new(midplane::tokio::Timer::new()),
                spawn: |future| midplane::tokio::spawn(future),
            },
        }
    }
}

impl TestCluster {
    /// Starts a node of the shape on each of these buses.
    ///
    /// # Panics
    /// When there are no threads.
    #[must_use]
    pub fn start(executor: Executor, buses: Vec<Arc<dyn Bus>>, shape: ClusterShape) -> Self {
        let (ready, started) = channel();
        let (orders, mut ordered) = unbounded();
        let thread = thread::spawn(move || {
            executor.run(async move {
                let runtime = Runtime::of(executor);
                let clock = runtime.timer.clone();
                let recorder = Recorder::new(move || clock.now().since_origin());
                let resting = Arc::new(AtomicBool::new(false));
                let over = Arc::new(AtomicBool::new(false));
                let stalls = StallWatch::start(&recorder);
                (runtime.spawn)(
                    watch(recorder.clone(), runtime.timer.clone(), over.clone()).boxed(),
                );
                let attempts = ConnectAttempts::new(recorder.clone());
                let (nodes, clusters): (Vec<RecordedNode>, Vec<Cluster>) = buses
                    .into_iter()
                    .map(|bus| node(&runtime, &recorder, attempts.at(bus), shape, &resting))
                    .unzip();
                let told = ready.send((nodes.clone(), recorder.clone(), attempts));
                told.expect("whoever starts a cluster waits for it");
                while let Some(order) = ordered.next().await {
                    (runtime.spawn)(order);
                }
                resting.store(true, Ordering::Relaxed);
                for node in &nodes {
                    // What is flushed or given up is judged by what comes.
                    let _ = node.plane().flush().await;
                }
                // The heartbeats tell of what was lost last.
                runtime.timer.sleep(shape.heartbeat * 5).await;
                for cluster in &clusters {
                    // One that was closed has nobody, and reported what it did not send.
                    if cluster.state() != State::Closed {
                        note_levels(&recorder, cluster, shape);
                    }
                }
                let history = recorder.finish();
                over.store(true, Ordering::Relaxed);
                drop(stalls);
                for node in &nodes {
                    let _ = node.close(HEARTBEAT * 4).await;
                }
                history
            })
        });
        let (nodes, recorder, attempts) = started.recv().expect("the cluster starts");
        Self {
            executor,
            nodes,
            recorder,
            attempts,
            orders: Some(orders),
            thread: Some(thread),
        }
    }

    /// What it runs on.
    #[must_use]
    pub fn executor(&self) -> Executor {
        self.executor
    }

    /// Its nodes.
    #[must_use]
    pub fn nodes(&self) -> &[RecordedNode] {
        &self.nodes
    }

    /// Where its history is written.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// When its nodes tried to connect.
    #[must_use]
    pub fn attempts(&self) -> &ConnectAttempts {
        &self.attempts
    }

    /// Runs a future on the cluster's executor and waits for it.
    ///
    /// # Panics
    /// When it does.
    pub fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let (answer, answered) = channel();
        let order = async move {
            // Whoever ordered waits.
            let _ = answer.send(future.await);
        };
        let orders = self.orders.as_ref().expect("it is not finished");
        let ordered = orders.unbounded_send(order.boxed());
        ordered.expect("the cluster runs until it is finished");
        answered.recv().expect("the future does not panic")
    }

    /// Lets everyone come to rest, and gives the history.
    ///
    /// # Panics
    /// When something on the cluster panicked.
    #[must_use]
    pub fn finish(mut self) -> History {
        drop(self.orders.take());
        let thread = self.thread.take().expect("it is finished once");
        thread.join().unwrap_or_else(|panic| {
            std::panic::resume_unwind(panic);
        })
    }
}

impl fmt::Debug for TestCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCluster")
            .field("executor", &self.executor)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

fn node(
    runtime: &Runtime,
    recorder: &Recorder,
    bus: Arc<dyn Bus>,
    shape: ClusterShape,
    resting: &Arc<AtomicBool>,
) -> (RecordedNode, Cluster) {
    let config = shape.config();
    let id = fresh_node_id().expect("the system has random bytes");
    let bus = Arc::new(TappedBus::new(bus, recorder.clone()));
    let (cluster, driver) = Cluster::new(id, bus, runtime.timer.clone(), config);
    let recorder = recorder.clone();
    let plane = Arc::new(cluster.clone());
    let recorded = RecordedNode::new(id, plane, config, recorder, |moment| moment);
    (runtime.spawn)(recorded.record_notices().boxed());
    (runtime.spawn)(driver.boxed());
    let timer = &runtime.timer;
    for name in STAY {
        let stays = stay(recorded.clone(), name, timer.clone(), resting.clone());
        (runtime.spawn)(stays.boxed());
    }
    (runtime.spawn)(come_and_go(recorded.clone(), timer.clone(), resting.clone()).boxed());
    (runtime.spawn)(publish(recorded.clone(), timer.clone(), resting.clone(), shape.pace).boxed());
    (recorded, cluster)
}

/// Whatever happened, a node that came to rest keeps what it began with: its own connections, and as many others as
/// there are.
fn note_levels(recorder: &Recorder, cluster: &Cluster, shape: ClusterShape) {
    let status = cluster.status();
    let registry = cluster.registry();
    for (what, value, cap) in [
        ("connections", registry.connections(), STAY.len()),
        (
            "members of the lobby",
            registry.members(&Scope::default(), &topic(LOBBY)),
            STAY.len(),
        ),
        ("members", status.members.len(), shape.nodes - 1),
        ("other nodes", status.peers, shape.nodes - 1),
        ("messages that wait", status.queued, 0),
        ("bytes that wait", status.queued_bytes, 0),
    ] {
        recorder.record(Fact::Level {
            what: format!("{what} of {} at rest", cluster.id()),
            value: value as u64,
            cap: cap as u64,
        });
    }
}

fn topic(name: &str) -> Target {
    Target::topic(name).expect("a topic of a few letters")
}

/// Writes down when the executor had no time to run what was due.
async fn watch(recorder: Recorder, timer: Arc<dyn Timer>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        let since = recorder.now();
        timer.sleep(StallWatch::TICK).await;
        StallWatch::check(&recorder, since);
    }
}

/// A connection that stays until all is over.
async fn stay(
    recorded: RecordedNode,
    name: &'static str,
    timer: Arc<dyn Timer>,
    resting: Arc<AtomicBool>,
) {
    let id = ConnectionId::new(name).expect("an id of a few letters");
    let connection = recorded.attach(&id, |_| SinkOutcome::Accepted);
    let _ = connection.associate(&topic(LOBBY)).await;
    while !resting.load(Ordering::Relaxed) {
        timer.sleep(HEARTBEAT).await;
    }
    // What is published last is still to come, and to be accounted for.
    timer.sleep(HEARTBEAT * 60).await;
}

/// Connections that come and go, and wait for their end.
async fn come_and_go(recorded: RecordedNode, timer: Arc<dyn Timer>, resting: Arc<AtomicBool>) {
    let id = ConnectionId::new("guest").expect("an id of a few letters");
    while !resting.load(Ordering::Relaxed) {
        let connection = recorded.attach(&id, |_| SinkOutcome::Accepted);
        let joined = connection.associate(&topic(LOBBY));
        timer.sleep(Duration::from_millis(90)).await;
        let _ = joined.await;
        connection.dissociate(&topic(LOBBY));
        connection.detach().await;
    }
}

async fn publish(
    recorded: RecordedNode,
    timer: Arc<dyn Timer>,
    resting: Arc<AtomicBool>,
    pace: Duration,
) {
    let seed = u64::from_le_bytes(recorded.id().0[..8].try_into().expect("eight bytes"));
    let mut random = Random::new(seed);
    let mut publisher = recorded.publisher();
    while !resting.load(Ordering::Relaxed) {
        let audience = match random.below(8) {
            0 => Target::connection("guest")
                .expect("an id of a few letters")
                .into(),
            1 => Audience::from(topic(LOBBY))
                .except(ConnectionId::new("first").expect("an id of a few letters")),
            _ => topic(LOBBY).into(),
        };
        let _ = publisher.publish(&audience, random.below(300) as usize);
        let pause = pace.mul_f64(0.5 + random.below(1_000) as f64 / 1_000.0);
        timer.sleep(pause).await;
    }
}
