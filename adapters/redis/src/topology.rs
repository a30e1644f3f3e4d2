//! Which server each lane is on, found anew for each link.

use std::sync::Arc;

use midplane_core::bus::{BusError, BusErrorKind};
use redis::Value;
use redis::aio::MultiplexedConnection;

use crate::pushes::Pushes;
use crate::server::{Connections, Server, Wire};
use crate::settings::Redis;
use crate::slots::{Slots, slot};
use crate::url::{self, Deployment, Endpoint};
use crate::{runtime, sentinel, tls};

/// The servers of a link.
pub(crate) struct Topology {
    pub(crate) servers: Vec<Server>,
    /// How a cluster divides the channels among them; without it, all are the first one's.
    pub(crate) slots: Option<Slots>,
}

/// What a link starts with.
pub(crate) struct Found {
    pub(crate) topology: Topology,
    /// The connections to each server.
    pub(crate) pairs: Vec<Connections>,
    /// The connection to the node of a cluster that named the others: until a lane is subscribed its loss is the link's
    /// end, so that the link notices that the cluster is gone. It carries nothing any more.
    pub(crate) seed: Option<Wire>,
    /// Which server it is, where it is one.
    pub(crate) broker: Option<String>,
}

impl Topology {
    pub(crate) fn is_sharded(&self) -> bool {
        self.slots.is_some()
    }

    /// The server of a channel, by its place.
    pub(crate) fn owner(&self, channel: &str) -> Result<usize, BusError> {
        let Some(slots) = &self.slots else {
            return Ok(0);
        };
        let slot = slot(channel);
        slots.owner(slot).ok_or_else(|| {
            let message =
                format!("no shard of the redis cluster owns the slot {slot} of {channel}");
            BusError::new(BusErrorKind::Unreachable, message)
        })
    }
}

/// Finds the servers of a link.
pub(crate) async fn find(redis: &Redis, pushes: &Arc<Pushes>) -> Result<Found, BusError> {
    ask(redis, |server, is_cluster| async move {
        match is_cluster {
            true => cluster(server, pushes).await,
            false => single(server, pushes).await,
        }
    })
    .await
}

/// Asks the seed addresses in turn, until one answers: a server, or a node of a cluster, which `of` is told of each. Behind
/// Sentinels it is the master alone that they name.
pub(crate) async fn ask<T, F: Future<Output = Result<T, BusError>>>(
    redis: &Redis,
    of: impl Fn(Server, bool) -> F,
) -> Result<T, BusError> {
    runtime::check()?;
    tls::prepare();
    let Endpoint { deployment, seeds } = redis.attempt();
    if let Deployment::Sentinel(name) = &deployment {
        return of(sentinel::master(&seeds, name).await?, false).await;
    }
    let is_cluster = deployment == Deployment::Cluster;
    let mut failure = no_seed();
    for seed in seeds {
        match of(Server::new(seed), is_cluster).await {
            Ok(found) => return Ok(found),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// What is said where no seed address was asked.
pub(crate) fn no_seed() -> BusError {
    let message = "the url of redis names no server";
    BusError::new(BusErrorKind::Unreachable, message)
}

async fn single(server: Server, pushes: &Arc<Pushes>) -> Result<Found, BusError> {
    let (connections, broker) = server.open_master(pushes).await?;
    Ok(Found {
        topology: Topology {
            servers: vec![server],
            slots: None,
        },
        pairs: vec![connections],
        seed: None,
        broker,
    })
}

async fn cluster(node: Server, pushes: &Arc<Pushes>) -> Result<Found, BusError> {
    let mut seed = node.connect(pushes, true).await?;
    let (servers, slots) = shards(&node, &mut seed.connection).await?;
    Ok(Found {
        pairs: vec![Connections::default(); servers.len()],
        topology: Topology {
            servers,
            slots: Some(slots),
        },
        seed: Some(seed),
        broker: None,
    })
}

/// The masters of a cluster, and how it divides its keys among them.
pub(crate) async fn shards(
    node: &Server,
    seed: &mut MultiplexedConnection,
) -> Result<(Vec<Server>, Slots), BusError> {
    let answer: Value = redis::cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(seed)
        .await
        .map_err(|error| node.context.error("name the shards of its cluster", error))?;
    let (asked, _) = node.context.address.rsplit_once(':').unwrap_or_default();
    let slots = Slots::parse(&answer, asked).ok_or_else(|| {
        let message = format!(
            "redis at {} named the shards of its cluster in a form that is not known here",
            node.context.address
        );
        BusError::new(BusErrorKind::Protocol, message)
    })?;
    let servers = slots
        .masters()
        .iter()
        .map(|(host, port)| Server::new(url::moved(node.info(), host, *port)))
        .collect();
    Ok((servers, slots))
}
