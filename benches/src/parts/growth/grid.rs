//! Nodes of one process over the memory bus, all on one thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::try_join_all;
use futures::stream::StreamExt;
use instructions::topic;
use midplane::bus::{Bus, BusError, Lane, Limits, Link};
use midplane::node::Config;
use midplane::{Attachment, Audience, Backplane, Cluster, Event, Memory, Relay};
use tokio::runtime::{Builder, Runtime};

use crate::across::{attach, failed, start_cluster};

/// The bytes of an event.
pub(super) const SIZE: usize = 64;

/// How long an event may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// A bus that counts what its links receive.
#[derive(Debug)]
struct CountingBus {
    bus: Memory,
    /// All frames, and those of lane 0, where heartbeats are.
    all: Arc<Received>,
    control: Arc<Received>,
}

/// Frames and bytes that were received.
#[derive(Debug, Default)]
pub(super) struct Received {
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl Received {
    fn add(&self, bytes: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn frames(&self) -> f64 {
        self.frames.load(Ordering::Relaxed) as f64
    }

    pub(super) fn bytes(&self) -> f64 {
        self.bytes.load(Ordering::Relaxed) as f64
    }
}

#[async_trait]
impl Bus for CountingBus {
    fn limits(&self) -> Limits {
        self.bus.limits()
    }

    fn prefix(&self) -> &str {
        self.bus.prefix()
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let Link { transmit, frames } = self.bus.connect().await?;
        let (all, control) = (self.all.clone(), self.control.clone());
        let frames = frames.inspect(move |inbound| {
            if let Ok(inbound) = inbound {
                all.add(inbound.frame.len());
                if inbound.lane == Lane(0) {
                    control.add(inbound.frame.len());
                }
            }
        });
        Ok(Link {
            transmit,
            frames: frames.boxed(),
        })
    }
}

/// The size of a grid.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    pub(super) nodes: usize,
    pub(super) lanes: u32,
    /// The targets, and the nodes that each has a member on.
    pub(super) targets: usize,
    pub(super) interest: usize,
}

/// Nodes that run, and their members.
pub(super) struct Grid {
    runtime: Runtime,
    nodes: Vec<Cluster>,
    pub(super) all: Arc<Received>,
    pub(super) control: Arc<Received>,
    delivered: Arc<AtomicU64>,
    audiences: Vec<Audience>,
    _attachments: Vec<Attachment>,
}

impl Grid {
    /// Starts the nodes and attaches the members; returns when all nodes are live.
    pub(super) fn start(setting: Setting, heartbeat: Duration) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (all, control) = (Arc::<Received>::default(), Arc::<Received>::default());
        let delivered = Arc::<AtomicU64>::default();
        let bus = Memory::new();
        let config = Config {
            heartbeat,
            lanes: setting.lanes,
            ..Config::default()
        };
        let (nodes, attachments) = runtime.block_on(async {
            let nodes = (0..setting.nodes).map(|_| {
                let bus = CountingBus {
                    bus: bus.clone(),
                    all: all.clone(),
                    control: control.clone(),
                };
                start_cluster(Arc::new(bus), Cluster::builder(config))
            });
            let nodes = try_join_all(nodes).await?;
            let mut attachments = Vec::new();
            for number in 0..setting.targets {
                for nth in 0..setting.interest {
                    let node = &nodes[(number * 7 + nth) % setting.nodes];
                    let delivered = delivered.clone();
                    let sink = move |_: &Event| {
                        delivered.fetch_add(1, Ordering::Relaxed);
                    };
                    let name = format!("{number}-{nth}");
                    attachments.push(attach(node, &name, &topic(number), sink).await?);
                }
            }
            io::Result::Ok((nodes, attachments))
        })?;
        Ok(Self {
            runtime,
            nodes,
            all,
            control,
            delivered,
            audiences: (0..setting.targets).map(|at| topic(at).into()).collect(),
            _attachments: attachments,
        })
    }

    /// Lets the nodes run for this time.
    pub(super) fn rest(&self, time: Duration) {
        self.runtime.block_on(async {
            tokio::time::sleep(time).await;
        });
    }

    /// Lets every task of the nodes run several times.
    pub(super) fn settle(&self) {
        self.runtime.block_on(async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Publishes events one after the other, and waits for the deliveries of each.
    pub(super) fn publish(&self, times: usize, deliveries: u64) -> io::Result<()> {
        let event = Event::text("x".repeat(SIZE));
        self.runtime.block_on(async {
            for time in 0..times {
                let wanted = self.delivered.load(Ordering::Relaxed) + deliveries;
                let audience = &self.audiences[time % self.audiences.len()];
                let receipt = self.nodes[time % self.nodes.len()].publish(audience, &event);
                if let Relay::Refused(refusal) = receipt.relay {
                    return Err(failed(format!("refused: {refusal:?}")));
                }
                let start = Instant::now();
                while self.delivered.load(Ordering::Relaxed) < wanted {
                    tokio::task::yield_now().await;
                    if start.elapsed() > PATIENCE {
                        return Err(failed("an event did not arrive"));
                    }
                }
            }
            Ok(())
        })
    }
}
