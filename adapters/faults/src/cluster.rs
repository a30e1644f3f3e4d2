//! Nodes with their connections and publishers, on one executor.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use midplane::bus::Bus;
use midplane::{Backplane, Cluster, Scope, State, Timer, fresh_node_id};
use midplane_conformance::history::{Fact, History, RecordedNode, Recorder, StallWatch, TappedBus};
use midplane_testkit::executor::Executor;

use crate::attempts::ConnectAttempts;
use crate::shape::{ClusterShape, HEARTBEAT};
use crate::workload::{RESIDENTS, Workload, lobby};

/// Nodes on one executor, on a thread of its own, that publish and receive until they are to finish.
#[derive(Debug)]
pub struct TestCluster {
    executor: Executor,
    nodes: Vec<RecordedNode>,
    recorder: Recorder,
    attempts: ConnectAttempts,
    /// Futures to run on the executor; when the sender is gone, the workload comes to rest.
    jobs: Option<UnboundedSender<BoxFuture<'static, ()>>>,
    thread: Option<JoinHandle<History>>,
}

/// What starts the nodes of one cluster.
struct Starter {
    timer: Arc<dyn Timer>,
    spawn: fn(BoxFuture<'static, ()>),
    shape: ClusterShape,
    recorder: Recorder,
    attempts: ConnectAttempts,
    stopping: Arc<AtomicBool>,
}

impl TestCluster {
    /// Starts a node on each of these buses.
    ///
    /// # Panics
    /// When the system gives no threads.
    #[must_use]
    pub fn start(executor: Executor, buses: Vec<Arc<dyn Bus>>, shape: ClusterShape) -> Self {
        let (ready, started) = channel();
        let (jobs, mut queued) = unbounded();
        let thread = thread::spawn(move || {
            executor.run(async move {
                let starter = Starter::new(executor, shape);
                let stalls = StallWatch::start(&starter.recorder);
                let finished = Arc::new(AtomicBool::new(false));
                starter.spawn(starter.record_stalls(finished.clone()));
                let (nodes, clusters): (Vec<RecordedNode>, Vec<Cluster>) =
                    buses.into_iter().map(|bus| starter.start(bus)).unzip();
                let handles = (
                    nodes.clone(),
                    starter.recorder.clone(),
                    starter.attempts.clone(),
                );
                ready.send(handles).expect("the caller waits");
                while let Some(job) = queued.next().await {
                    starter.spawn(job);
                }
                let history = starter.rest(&nodes, &clusters).await;
                finished.store(true, Ordering::Relaxed);
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
            jobs: Some(jobs),
            thread: Some(thread),
        }
    }

    /// The executor that the nodes run on.
    #[must_use]
    pub fn executor(&self) -> Executor {
        self.executor
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[RecordedNode] {
        &self.nodes
    }

    /// The recorder of the cluster's history.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The connect attempts of the nodes.
    #[must_use]
    pub fn attempts(&self) -> &ConnectAttempts {
        &self.attempts
    }

    /// Runs a future on the cluster's executor, and waits for it.
    ///
    /// # Panics
    /// When the future does.
    pub fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let (answer, answered) = channel();
        let job = async move {
            // The caller waits for the answer.
            let _ = answer.send(future.await);
        };
        let jobs = self.jobs.as_ref().expect("it is not finished");
        let sent = jobs.unbounded_send(job.boxed());
        sent.expect("the executor runs until it is finished");
        answered.recv().expect("the future does not panic")
    }

    /// Lets the workload come to rest, and returns the history.
    ///
    /// # Panics
    /// When a task of the cluster panicked.
    #[must_use]
    pub fn finish(mut self) -> History {
        drop(self.jobs.take());
        let thread = self.thread.take().expect("it is finished once");
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Starter {
    fn new(executor: Executor, shape: ClusterShape) -> Self {
        let timer: Arc<dyn Timer> = match executor {
            Executor::Smol => Arc::new(midplane::smol::Timer::new()),
            _ => Arc::new(midplane::tokio::Timer::new()),
        };
        let spawn: fn(BoxFuture<'static, ()>) = match executor {
            Executor::Smol => |future| midplane::smol::spawn(future),
            _ => |future| midplane::tokio::spawn(future),
        };
        let clock = timer.clone();
        let recorder = Recorder::new(move || clock.now().since_origin());
        Self {
            timer,
            spawn,
            shape,
            attempts: ConnectAttempts::new(recorder.clone()),
            recorder,
            stopping: Arc::default(),
        }
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        (self.spawn)(future.boxed());
    }

    /// Records when the executor did not run what was due.
    fn record_stalls(&self, finished: Arc<AtomicBool>) -> impl Future<Output = ()> + use<> {
        let (recorder, timer) = (self.recorder.clone(), self.timer.clone());
        async move {
            while !finished.load(Ordering::Relaxed) {
                let since = recorder.now();
                timer.sleep(StallWatch::TICK).await;
                StallWatch::check(&recorder, since);
            }
        }
    }

    /// Starts a node and its workload.
    fn start(&self, bus: Arc<dyn Bus>) -> (RecordedNode, Cluster) {
        let config = self.shape.config();
        let id = fresh_node_id().expect("the system has random bytes");
        let bus = self.attempts.count(bus);
        let bus = Arc::new(TappedBus::new(bus, self.recorder.clone()));
        let (cluster, driver) = Cluster::new(id, bus, self.timer.clone(), config);
        let (plane, recorder) = (Arc::new(cluster.clone()), self.recorder.clone());
        let node = RecordedNode::new(id, plane, config, recorder, |moment| moment);
        self.spawn(node.record_notices());
        self.spawn(driver);
        let workload = Workload {
            node: node.clone(),
            timer: self.timer.clone(),
            pace: self.shape.pace,
            stopping: self.stopping.clone(),
        };
        for name in RESIDENTS {
            self.spawn(workload.clone().stay(name));
        }
        self.spawn(workload.clone().come_and_go());
        self.spawn(workload.publish());
        (node, cluster)
    }

    /// Lets the workload come to rest, measures what is left, and returns the history.
    async fn rest(&self, nodes: &[RecordedNode], clusters: &[Cluster]) -> History {
        self.stopping.store(true, Ordering::Relaxed);
        for node in nodes {
            // What is flushed or given up is judged by what arrives.
            let _ = node.plane().flush().await;
        }
        // The next heartbeats report what was lost last.
        self.timer.sleep(self.shape.heartbeat * 5).await;
        for cluster in clusters {
            // A closed node has no connections, and reported what it did not send.
            if cluster.state() != State::Closed {
                self.record_levels(cluster);
            }
        }
        self.recorder.finish()
    }

    /// A node at rest has what it began with: its residents, and the other nodes.
    fn record_levels(&self, cluster: &Cluster) {
        let (status, registry) = (cluster.status(), cluster.registry());
        let (residents, others) = (RESIDENTS.len(), self.shape.nodes - 1);
        let members = registry.members(&Scope::default(), &lobby());
        for (what, value, cap) in [
            ("connections", registry.connections(), residents),
            ("members of the lobby", members, residents),
            ("members", status.members.len(), others),
            ("other nodes", status.peers, others),
            ("messages that wait", status.queued, 0),
            ("bytes that wait", status.queued_bytes, 0),
        ] {
            self.recorder.record(Fact::Level {
                what: format!("{what} of {} at rest", cluster.id()),
                value: value as u64,
                cap: cap as u64,
            });
        }
    }
}
