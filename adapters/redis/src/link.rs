//! One link: connections that are subscribed and connections that publish.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::try_join_all;
use futures::stream::{Stream, StreamExt};
use midplane_core::bus::{BusError, BusErrorKind, End, Inbound, Lane, Link, Outbound, Transmit};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, Value};

use crate::layout::{Found, Layout};
use crate::pushes::Pushes;
use crate::server::{Connections, is_replica};

/// How old the last word of a server on being a master may be when something is sent to it.
const TRUSTED: Duration = Duration::from_secs(1);

/// The link that starts with these connections.
pub(crate) fn open(found: Found, pushes: Arc<Pushes>, frame_limit: usize) -> Link {
    let shared = Arc::new(Shared {
        pushes,
        layout: found.layout,
        open: Mutex::new(Some(Open {
            pairs: found.pairs,
            _door: found.door,
        })),
    });
    Link {
        frames: Frames {
            shared: shared.clone(),
        }
        .boxed(),
        transmit: Box::new(Sender {
            shared,
            frame_limit,
            lanes: BTreeSet::new(),
            asked: Instant::now(),
        }),
    }
}

/// What both halves hold; the connections are closed when it goes, or before.
struct Shared {
    pushes: Arc<Pushes>,
    layout: Layout,
    /// `None` once the link is over.
    open: Mutex<Option<Open>>,
}

struct Open {
    /// By the server's place in the layout. Those of a cluster are opened when they are needed.
    pairs: Vec<Option<Connections>>,
    _door: Option<MultiplexedConnection>,
}

impl Shared {
    fn alive(&self) -> Result<(), BusError> {
        match self.pushes.inbox.ended() {
            Some(end) => {
                self.hang_up();
                Err(end.error())
            }
            None => Ok(()),
        }
    }

    fn hang_up(&self) {
        // Dropped outside the lock: it ends tasks.
        let open = self.open.lock().take();
        drop(open);
    }

    /// The connections to a server, opened now if they were not.
    async fn connections(&self, server: usize) -> Result<Connections, BusError> {
        self.alive()?;
        let pair = self
            .open
            .lock()
            .as_ref()
            .map(|open| open.pairs[server].clone());
        if let Some(pair) = pair.ok_or_else(|| End::Closed.error())? {
            return Ok(pair);
        }
        let opened = self.layout.servers[server].open(&self.pushes).await;
        let opened = opened.map_err(|error| self.over(server, error))?;
        if let Some(open) = self.open.lock().as_mut() {
            open.pairs[server] = Some(opened.clone());
        }
        self.alive()?;
        Ok(opened)
    }

    /// Ends the link, of which a call failed.
    fn over(&self, server: usize, error: BusError) -> BusError {
        let address = &self.layout.servers[server].voice.address;
        let ended = "ended when a call on it failed";
        self.pushes.fail(BusErrorKind::Unreachable, address, ended);
        self.hang_up();
        error
    }

    fn failed(&self, server: usize, what: &str, error: RedisError) -> BusError {
        let error = self.layout.servers[server].voice.error(what, error);
        self.over(server, error)
    }

    /// The server of a channel. Where there is none, the link is over: the next one looks anew.
    fn owner(&self, channel: &str) -> Result<usize, BusError> {
        let owner = self.layout.owner(channel);
        owner.map_err(|error| self.over(0, error))
    }

    /// One command with one channel for each of the lanes, in a pipeline for each server that owns some. A cluster
    /// takes no two slots in one command; and a command that has one answer cannot have it taken for another's.
    async fn each(&self, what: &str, lanes: &BTreeSet<Lane>) -> Result<(), BusError> {
        let command = if self.layout.is_sharded() {
            format!("S{what}")
        } else {
            what.to_owned()
        };
        let mut pipelines = BTreeMap::<usize, Pipeline>::new();
        for &lane in lanes {
            let channel = self.pushes.channel(lane);
            let pipeline = pipelines.entry(self.owner(&channel)?).or_default();
            pipeline.cmd(&command).arg(channel);
        }
        let what = what.to_ascii_lowercase();
        try_join_all(pipelines.iter().map(async |(&server, pipeline)| {
            let mut pair = self.connections(server).await?;
            let answers: Result<Vec<Value>, _> = pipeline.query_async(&mut pair.hearing).await;
            answers.map_err(|error| self.failed(server, &what, error))
        }))
        .await?;
        // A subscription that the server took back meanwhile was none.
        self.alive()
    }
}

struct Sender {
    shared: Arc<Shared>,
    frame_limit: usize,
    /// What is subscribed for certain, where a publish must therefore be heard.
    lanes: BTreeSet<Lane>,
    /// When the server last said that it is a master.
    asked: Instant,
}

/// What goes to one server.
#[derive(Default)]
struct Batch {
    pipeline: Pipeline,
    lanes: Vec<Lane>,
}

impl Sender {
    /// The frames by the servers they go to.
    fn batches(&self, frames: &[Outbound]) -> Result<BTreeMap<usize, Batch>, BusError> {
        let command = if self.shared.layout.is_sharded() {
            "SPUBLISH"
        } else {
            "PUBLISH"
        };
        let mut batches = BTreeMap::<usize, Batch>::new();
        for Outbound { lane, frame } in frames {
            let channel = self.shared.pushes.channel(*lane);
            let batch = batches.entry(self.shared.owner(&channel)?).or_default();
            batch.pipeline.cmd(command).arg(channel).arg(&frame[..]);
            batch.lanes.push(*lane);
        }
        Ok(batches)
    }
}

#[async_trait]
impl Transmit for Sender {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.shared.alive()?;
        let lanes: BTreeSet<_> = lanes.iter().copied().collect();
        self.shared.each("SUBSCRIBE", &lanes).await?;
        self.lanes.extend(lanes);
        Ok(())
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.shared.alive()?;
        // Whoever has no subscription at all is told off by Valkey for giving one up.
        let lanes = lanes.iter().copied();
        let lanes: BTreeSet<_> = lanes.filter(|lane| self.lanes.remove(lane)).collect();
        self.shared.pushes.leave(&lanes);
        self.shared.each("UNSUBSCRIBE", &lanes).await
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        self.shared.alive()?;
        let limit = self.frame_limit;
        if let Some(large) = frames.iter().find(|frame| frame.frame.len() > limit) {
            let bytes = large.frame.len();
            return Err(BusError::new(
                BusErrorKind::TooLarge,
                format!(
                    "a frame of {bytes} bytes is larger than the {limit} of `with_frame_limit`"
                ),
            ));
        }
        let mut batches = self.batches(frames)?;
        // A cluster's replica takes no SPUBLISH; a lone one takes a PUBLISH and keeps it to itself.
        let asking = !self.shared.layout.is_sharded() && self.asked.elapsed() >= TRUSTED;
        if asking {
            for batch in batches.values_mut() {
                batch.pipeline.cmd("HELLO");
            }
        }
        let shared = &*self.shared;
        let answers = try_join_all(batches.iter().map(async |(&server, batch)| {
            let mut pair = shared.connections(server).await?;
            let answers: Result<Vec<Value>, _> =
                batch.pipeline.query_async(&mut pair.speaking).await;
            answers.map_err(|error| shared.failed(server, "publish", error))
        }))
        .await?;
        for ((&server, batch), answers) in batches.iter().zip(answers) {
            if answers.last().is_some_and(is_replica) {
                return Err(shared.over(server, shared.layout.servers[server].replica()));
            }
            let heard = batch.lanes.iter().zip(&answers);
            let deaf = heard
                .into_iter()
                .any(|(lane, heard)| *heard == Value::Int(0) && self.lanes.contains(lane));
            if deaf {
                shared.pushes.fail(
                    BusErrorKind::Unreachable,
                    &shared.layout.servers[server].voice.address,
                    "does not hear itself: the server has ended its subscription",
                );
                shared.alive()?;
            }
        }
        if asking {
            self.asked = Instant::now();
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), BusError> {
        // Every send was answered by the time it returned, so nothing is buffered.
        match self.shared.pushes.inbox.ended() {
            Some(End::Closed) => Ok(()),
            Some(_) => self.shared.alive(),
            None => {
                self.shared.pushes.inbox.end(End::Closed);
                self.shared.hang_up();
                Ok(())
            }
        }
    }
}

struct Frames {
    shared: Arc<Shared>,
}

impl Stream for Frames {
    type Item = Result<Inbound, BusError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.shared.pushes.inbox.poll_next(context));
        if !matches!(next, Some(Ok(_))) {
            self.shared.hang_up();
        }
        Poll::Ready(next)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.shared.pushes.inbox.abandon();
    }
}
