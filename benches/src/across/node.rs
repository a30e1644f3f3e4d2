//! Nodes, each on a thread of its own.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::oneshot;
use futures::executor::block_on;
use instructions::topic;
use midplane::bus::{Bus, Signing};
use midplane::node::{Config, NodeCounters};
use midplane::{
    Attachment, Audience, Backplane, Cluster, ClusterBuilder, ConnectionId, Event, Notice, Refusal,
    Relay, Sink, State, Target, fresh_node_id,
};
use tokio::runtime::{Builder, Handle};

use super::arrivals::Arrivals;
use super::failed;
use super::route::Route;

/// How long a node may take to close.
const DEADLINE: Duration = Duration::from_secs(2);

/// A tokio runtime on a thread of its own, which ends when this is dropped.
pub(crate) struct NodeRuntime {
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl NodeRuntime {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        let thread = thread::spawn(move || {
            // Either way the runtime ends: by an order, or when the sender is dropped.
            let _ = runtime.block_on(ended);
        });
        Ok(Self {
            handle,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Runs a future on the runtime's thread and waits for its value.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = sync_channel(1);
        self.handle.spawn(async move {
            // The caller waits for the value.
            let _ = sender.send(future.await);
        });
        receiver.recv().map_err(failed)
    }
}

impl Drop for NodeRuntime {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts a node on this bus and the current runtime; resolves when the node is live.
pub(crate) async fn start_cluster(
    bus: Arc<dyn Bus>,
    builder: ClusterBuilder,
) -> io::Result<Cluster> {
    let timer = Arc::new(midplane::tokio::Timer::new());
    let id = fresh_node_id().map_err(failed)?;
    let (cluster, driver) = builder.build(id, bus, timer);
    let mut notices = cluster.notices();
    midplane::tokio::spawn(driver);
    while let Some(notice) = notices.next().await {
        if notice == Notice::State(State::Live) {
            return Ok(cluster);
        }
    }
    Err(failed("a node ended before it was live"))
}

/// Attaches a connection and associates it with a target.
pub(crate) async fn attach(
    cluster: &Cluster,
    name: &str,
    target: &Target,
    sink: impl Fn(&Event) + Send + Sync + 'static,
) -> io::Result<Attachment> {
    let id = ConnectionId::new(name).map_err(failed)?;
    let attachment = cluster.attach(id, Sink::new(sink));
    attachment.associate(target).await.map_err(failed)?;
    Ok(attachment)
}

/// A node on a thread of its own.
pub(crate) struct NodeThread {
    cluster: Cluster,
    attachments: Vec<Attachment>,
    runtime: NodeRuntime,
}

impl NodeThread {
    /// Starts a node on this bus; returns when the node is live.
    pub(crate) fn start(bus: Arc<dyn Bus>, config: Config) -> io::Result<Self> {
        Self::start_built(bus, Cluster::builder(config))
    }

    /// Starts a node of this builder on this bus; returns when the node is live.
    fn start_built(bus: Arc<dyn Bus>, builder: ClusterBuilder) -> io::Result<Self> {
        let runtime = NodeRuntime::start()?;
        Ok(Self {
            cluster: runtime.run(start_cluster(bus, builder))??,
            attachments: Vec::new(),
            runtime,
        })
    }

    /// Attaches a connection and associates it with a target.
    pub(crate) fn attach(
        &mut self,
        name: &str,
        target: &Target,
        sink: impl Fn(&Event) + Send + Sync + 'static,
    ) -> io::Result<()> {
        let attachment = block_on(attach(&self.cluster, name, target, sink))?;
        self.attachments.push(attachment);
        Ok(())
    }

    /// Publishes, and waits for room in a full queue.
    pub(crate) fn publish(&self, audience: &Audience, event: &Event) -> io::Result<()> {
        while !self.offer(audience, event)? {
            thread::yield_now();
        }
        Ok(())
    }

    /// Publishes; false if the queue is full.
    pub(crate) fn offer(&self, audience: &Audience, event: &Event) -> io::Result<bool> {
        match self.cluster.publish(audience, event).relay {
            Relay::Refused(Refusal::Full) => Ok(false),
            Relay::Refused(refusal) => Err(failed(format!("refused: {refusal:?}"))),
            _ => Ok(true),
        }
    }

    /// What the node dropped and repaired.
    pub(crate) fn counters(&self) -> NodeCounters {
        self.cluster.status().counters
    }
}

impl Drop for NodeThread {
    fn drop(&mut self) {
        // The deadline needs the runtime's clock. What is unsent does not matter any more.
        let cluster = self.cluster.clone();
        let _ = self
            .runtime
            .run(async move { cluster.close(DEADLINE).await });
    }
}

/// From `publish` on one node to a sink on another.
struct Midplane {
    publisher: NodeThread,
    _subscriber: NodeThread,
    audience: Audience,
    payload: String,
    arrivals: Arc<Arrivals>,
}

/// Two nodes, each on a bus of its own from `bus`.
pub(crate) fn midplane(
    size: usize,
    bus: impl Fn() -> io::Result<Arc<dyn Bus>>,
) -> io::Result<impl Route + 'static> {
    midplane_signed(size, None, bus)
}

/// Two nodes, each on a bus of its own from `bus`, which sign what they send if they are to.
pub(crate) fn midplane_signed(
    size: usize,
    signing: Option<&Signing>,
    bus: impl Fn() -> io::Result<Arc<dyn Bus>>,
) -> io::Result<impl Route + 'static> {
    let builder = || {
        let builder = Cluster::builder(Config::default());
        match signing {
            Some(signing) => builder.with_signing(signing.clone()),
            None => builder,
        }
    };
    let publisher = NodeThread::start_built(bus()?, builder())?;
    let mut subscriber = NodeThread::start_built(bus()?, builder())?;
    let arrivals = Arc::new(Arrivals::new());
    let target = topic(0);
    subscriber.attach("far", &target, {
        let arrivals = arrivals.clone();
        move |_| arrivals.add(1)
    })?;
    Ok(Midplane {
        publisher,
        _subscriber: subscriber,
        audience: target.into(),
        payload: "x".repeat(size),
        arrivals,
    })
}

impl Route for Midplane {
    fn send(&mut self, events: usize) -> io::Result<()> {
        for _ in 0..events {
            let event = Event::text(&*self.payload);
            self.publisher.publish(&self.audience, &event)?;
        }
        Ok(())
    }

    fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }
}
