//! One link: connections that are subscribed and connections that publish.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::try_join_all;
use midplane_core::bus::{
    Bus, BusError, BusErrorKind, Lane, Limits, Link, OpenLink, Outbound, Transmit,
};
use parking_lot::RawMutex;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, Value};

use crate::pushes::{self, Pushes};
use crate::server::{Connections, Wire, is_replica};
use crate::settings::Redis;
use crate::topology::{self, Topology};

/// For how long a server's word that it is a master is good, when something is sent to it.
const TRUSTED: Duration = Duration::from_secs(1);

#[async_trait]
impl Bus for Redis {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn broker(&self) -> Option<String> {
        self.broker.lock().clone()
    }

    fn prefix(&self) -> &str {
        self.prefix.as_str()
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let pushes = Arc::new(Pushes::new(self.prefix.clone(), self.queue));
        let found = topology::find(self, &pushes).await?;
        *self.broker.lock() = found.broker;
        let open = Open {
            pairs: found.pairs,
            seed: found.seed,
        };
        let link = OpenLink::new(pushes.inbox.clone(), open);
        Ok(Link {
            frames: link.clone().frames(|_, _| {}),
            transmit: Box::new(Sender {
                servers: Servers {
                    link,
                    pushes,
                    topology: found.topology,
                },
                limits: self.limits,
                lanes: BTreeSet::new(),
                asked: Instant::now(),
            }),
        })
    }
}

/// The connections of a link.
struct Open {
    /// By the server's place in the topology. Those of a cluster are opened when they are needed.
    pairs: Vec<Connections>,
    /// See [`Found::seed`](topology::Found::seed).
    seed: Option<Wire>,
}

impl Open {
    /// Takes the subscribed connection of a server where no lane is subscribed any more, unless it is the last: it would
    /// carry nothing, and a server ends those. One is kept, by whose loss the link notices that the servers are gone.
    fn take_idle(&mut self, server: usize) -> Option<Wire> {
        let mut open = self.pairs.iter().filter(|pair| pair.subscriber.is_some());
        match open.nth(1) {
            Some(_) => self.pairs[server].subscriber.take(),
            None => None,
        }
    }
}

/// The servers of a link.
struct Servers {
    link: Arc<OpenLink<RawMutex, Open>>,
    pushes: Arc<Pushes>,
    topology: Topology,
}

impl Servers {
    /// The connection to a server that is subscribed, opened now if it was not.
    async fn subscriber(&self, server: usize) -> Result<MultiplexedConnection, BusError> {
        if let Some(wire) = self.link.on(|open| open.pairs[server].subscriber.clone())? {
            return Ok(wire.connection);
        }
        let opened = self.open(server, true).await?;
        let kept = opened.clone();
        let before = self
            .link
            .on(|open| open.pairs[server].subscriber.replace(kept))?;
        drop(before);
        Ok(opened.connection)
    }

    /// The connection to a server that publishes, opened now if it was not, or was lost while it carried nothing.
    async fn publisher(&self, server: usize) -> Result<Wire, BusError> {
        let open = self.link.on(|open| open.pairs[server].publisher.clone())?;
        if let Some(wire) = open.filter(|wire| !wire.is_lost()) {
            return Ok(wire);
        }
        let opened = self.open(server, false).await?;
        let kept = opened.clone();
        let before = self
            .link
            .on(|open| open.pairs[server].publisher.replace(kept))?;
        drop(before);
        Ok(opened)
    }

    /// Publishes at a server: once more on another connection if the server ended this one, as it may at any moment one that
    /// has carried nothing for a while. What it had taken all the same comes twice.
    async fn publish(&self, server: usize, pipeline: &Pipeline) -> Result<Vec<Value>, BusError> {
        let mut wire = self.publisher(server).await?;
        let mut answers = pipeline.query_async(&mut wire.connection).await;
        if matches!(&answers, Err(error) if error.is_connection_dropped()) {
            wire.lose();
            wire = self.publisher(server).await?;
            answers = pipeline.query_async(&mut wire.connection).await;
        }
        answers.map_err(|error| self.failed(server, "publish", error))
    }

    async fn open(&self, server: usize, needed: bool) -> Result<Wire, BusError> {
        let opened = self.topology.servers[server].connect(&self.pushes, needed);
        opened.await.map_err(|error| self.over(server, error))
    }

    /// Lets the link go on without the connection that named the servers, which carries nothing, once another is subscribed.
    fn dismiss_seed(&self) -> Result<(), BusError> {
        self.link.on(|open| {
            let subscribed = open.pairs.iter().any(|pair| pair.subscriber.is_some());
            open.seed
                .iter()
                .filter(|_| subscribed)
                .for_each(Wire::dismiss);
        })
    }

    /// Drops the subscribed connections of the servers on which none of `lanes` is, of those that `left` were on.
    fn drop_idle(&self, lanes: &BTreeSet<Lane>, left: &BTreeSet<Lane>) -> Result<(), BusError> {
        if !self.topology.is_sharded() {
            return Ok(());
        }
        let servers = |lanes: &BTreeSet<Lane>| {
            let owners = lanes
                .iter()
                .map(|lane| self.owner(&self.pushes.channel(*lane)));
            owners.collect::<Result<BTreeSet<usize>, _>>()
        };
        for server in servers(left)?.difference(&servers(lanes)?) {
            let idle = self.link.on(|open| open.take_idle(*server))?;
            idle.iter().for_each(Wire::dismiss);
        }
        Ok(())
    }

    /// Ends the link, of which a call failed.
    fn over(&self, server: usize, error: BusError) -> BusError {
        self.end(server, "ended when a call on it failed");
        error
    }

    /// Ends the link for what happened at a server.
    fn end(&self, server: usize, what: &str) {
        let address = &self.topology.servers[server].context.address;
        let end = pushes::failed(BusErrorKind::Unreachable, address, what);
        self.link.end(end);
    }

    fn failed(&self, server: usize, what: &str, error: RedisError) -> BusError {
        let error = self.topology.servers[server].context.error(what, error);
        self.over(server, error)
    }

    /// The server of a channel. Where there is none, the link is over: the next one looks anew.
    fn owner(&self, channel: &str) -> Result<usize, BusError> {
        let owner = self.topology.owner(channel);
        owner.map_err(|error| self.over(0, error))
    }

    /// One command with one channel for each of the lanes, in a pipeline for each server that owns some. A cluster
    /// takes no two slots in one command; and a command that has one answer cannot have it taken for another's.
    async fn each(&self, what: &str, lanes: &BTreeSet<Lane>) -> Result<(), BusError> {
        let command = if self.topology.is_sharded() {
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
            let mut subscriber = self.subscriber(server).await?;
            let answers: Result<Vec<Value>, _> = pipeline.query_async(&mut subscriber).await;
            answers.map_err(|error| self.failed(server, &what, error))
        }))
        .await?;
        // A subscription that the server took back meanwhile was none.
        self.link.check()
    }
}

struct Sender {
    servers: Servers,
    limits: Limits,
    /// The lanes that are subscribed for certain, on which this link must therefore receive what it publishes.
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
        let command = if self.servers.topology.is_sharded() {
            "SPUBLISH"
        } else {
            "PUBLISH"
        };
        let mut batches = BTreeMap::<usize, Batch>::new();
        for Outbound { lane, frame, .. } in frames {
            let channel = self.servers.pushes.channel(*lane);
            let batch = batches.entry(self.servers.owner(&channel)?).or_default();
            batch.pipeline.cmd(command).arg(channel).arg(&frame[..]);
            batch.lanes.push(*lane);
        }
        Ok(batches)
    }
}

#[async_trait]
impl Transmit for Sender {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.servers.link.check()?;
        let lanes: BTreeSet<_> = lanes.iter().copied().collect();
        self.servers.each("SUBSCRIBE", &lanes).await?;
        self.lanes.extend(lanes);
        self.servers.dismiss_seed()
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.servers.link.check()?;
        // Valkey refuses to unsubscribe a connection that has no subscription at all.
        let lanes = lanes.iter().copied();
        let lanes: BTreeSet<_> = lanes.filter(|lane| self.lanes.remove(lane)).collect();
        self.servers.pushes.leave(&lanes);
        self.servers.each("UNSUBSCRIBE", &lanes).await?;
        self.servers.drop_idle(&self.lanes, &lanes)
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        self.servers.link.check()?;
        self.limits.check(frames)?;
        let mut batches = self.batches(frames)?;
        // A cluster's replica takes no SPUBLISH; a lone one takes a PUBLISH and keeps it to itself.
        let asking = !self.servers.topology.is_sharded() && self.asked.elapsed() >= TRUSTED;
        if asking {
            for batch in batches.values_mut() {
                batch.pipeline.cmd("HELLO");
            }
        }
        let servers = &self.servers;
        let published = batches
            .iter()
            .map(|(&server, batch)| servers.publish(server, &batch.pipeline));
        let answers = try_join_all(published).await?;
        for ((&server, batch), answers) in batches.iter().zip(answers) {
            if answers.last().is_some_and(is_replica) {
                return Err(servers.over(server, servers.topology.servers[server].replica_error()));
            }
            let mut counts = batch.lanes.iter().zip(&answers);
            if counts.any(|(lane, count)| *count == Value::Int(0) && self.lanes.contains(lane)) {
                let what = "does not receive what it sends: the server has ended its subscription";
                servers.end(server, what);
                servers.link.check()?;
            }
        }
        if asking {
            self.asked = Instant::now();
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), BusError> {
        // Every send was answered by the time it returned, so nothing is buffered.
        self.servers.link.close()
    }
}
