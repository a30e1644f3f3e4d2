//! Nodes of one process over the memory bus, all on one thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::StreamExt;
use midplane::bus::{Bus, BusError, Lane, Limits, Link};
use midplane::node::Config;
use midplane::{
    Attachment, Audience, Backplane, Cluster, ConnectionId, Event, Memory, Notice, Relay, Sink,
    State, Target, fresh_node_id,
};
use tokio::runtime::{Builder, Runtime};

use crate::across::{failed, topic};

/// The bytes of an event.
pub(super) const SIZE: usize = 64;

/// A bus that counts what its links hear.
#[derive(Debug)]
struct Counting {
    bus: Memory,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) frames: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// Of these, on lane 0, where heartbeats are.
    pub(super) control_frames: AtomicU64,
    pub(super) control_bytes: AtomicU64,
}

#[async_trait]
impl Bus for Counting {
    fn limits(&self) -> Limits {
        self.bus.limits()
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let Link { transmit, frames } = self.bus.connect().await?;
        let heard = self.heard.clone();
        let frames = frames.inspect(move |inbound| {
            if let Ok(inbound) = inbound {
                heard.frames.fetch_add(1, Ordering::Relaxed);
                let bytes = inbound.frame.len() as u64;
                heard.bytes.fetch_add(bytes, Ordering::Relaxed);
                if inbound.lane == Lane(0) {
                    heard.control_frames.fetch_add(1, Ordering::Relaxed);
                    heard.control_bytes.fetch_add(bytes, Ordering::Relaxed);
                }
            }
        });
        Ok(Link {
            transmit,
            frames: frames.boxed(),
        })
    }
}

/// What is set up.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    pub(super) nodes: usize,
    pub(super) lanes: u32,
    /// How many targets there are, on how many nodes each has members, and how many on each of these.
    pub(super) targets: usize,
    pub(super) interest: usize,
    pub(super) members: usize,
}

pub(super) struct Field {
    pub(super) runtime: Runtime,
    nodes: Vec<Cluster>,
    pub(super) heard: Arc<Heard>,
    delivered: Arc<AtomicU64>,
    audiences: Vec<Audience>,
    _attachments: Vec<Attachment>,
}

impl Field {
    pub(super) fn start(setting: Setting, heartbeat: Duration) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let bus = Memory::new();
        let heard = Arc::new(Heard::default());
        let delivered = Arc::new(AtomicU64::new(0));
        let config = Config {
            heartbeat,
            lanes: setting.lanes,
            ..Config::default()
        };
        let (nodes, attachments) = runtime.block_on(async {
            let (mut nodes, mut notices) = (Vec::new(), Vec::new());
            for _ in 0..setting.nodes {
                let bus = Arc::new(Counting {
                    bus: bus.clone(),
                    heard: heard.clone(),
                });
                let timer = Arc::new(midplane::tokio::Timer::new());
                let id = fresh_node_id().map_err(failed)?;
                let (cluster, driver) = Cluster::new(id, bus, timer, config);
                notices.push(cluster.notices());
                midplane::tokio::spawn(driver);
                nodes.push(cluster);
            }
            for notices in &mut notices {
                while let Some(notice) = notices.next().await {
                    if notice == Notice::State(State::Live) {
                        break;
                    }
                }
            }
            let mut attachments = Vec::new();
            for number in 0..setting.targets {
                for nth in 0..setting.interest {
                    let node = &nodes[(number * 7 + nth) % setting.nodes];
                    for member in 0..setting.members {
                        let delivered = delivered.clone();
                        let sink = Sink::new(move |_: &Event| {
                            delivered.fetch_add(1, Ordering::Relaxed);
                        });
                        let name = format!("{number}-{nth}-{member}");
                        let id = ConnectionId::new(name).map_err(failed)?;
                        let attachment = node.attach(id, sink);
                        let target: Target = topic(number);
                        attachment.associate(&target).await.map_err(failed)?;
                        attachments.push(attachment);
                    }
                }
            }
            io::Result::Ok((nodes, attachments))
        })?;
        Ok(Self {
            runtime,
            nodes,
            heard,
            delivered,
            audiences: (0..setting.targets)
                .map(|number| topic(number).into())
                .collect(),
            _attachments: attachments,
        })
    }

    /// Lets the nodes go on by themselves.
    pub(super) fn rest(&self, time: Duration) {
        self.runtime.block_on(async {
            tokio::time::sleep(time).await;
        });
    }

    /// Publishes one event after the other, and waits each time until everyone has it.
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
                    if start.elapsed() > Duration::from_secs(20) {
                        return Err(failed("an event did not arrive"));
                    }
                }
            }
            Ok(())
        })
    }
}
