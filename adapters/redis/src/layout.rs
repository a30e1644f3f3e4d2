//! Which server each lane is on, found anew for each link.

use std::sync::Arc;

use midplane_core::bus::{BusError, BusErrorKind};
use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, ProtocolVersion, RedisConnectionInfo, Value};

use crate::pushes::Pushes;
use crate::server::{Connections, Server};
use crate::site::{self, Site, Topology};
use crate::slots::{Slots, slot};

/// The servers of a link.
pub(crate) struct Layout {
    pub(crate) servers: Vec<Server>,
    /// How a cluster divides the channels among them; without it, all are the first one's.
    slots: Option<Slots>,
}

/// What a link starts with.
pub(crate) struct Found {
    pub(crate) layout: Layout,
    /// The connections to each server, as far as they are open.
    pub(crate) pairs: Vec<Option<Connections>>,
    /// The connection to the node of a cluster that told of the others: its loss is the link's end too, so that a
    /// link which hears no lane yet notices that the cluster is gone.
    pub(crate) door: Option<MultiplexedConnection>,
}

impl Layout {
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

/// Asks the doors in turn, starting with this one, until one leads to a link.
pub(crate) async fn find(
    site: &Site,
    first: usize,
    pushes: &Arc<Pushes>,
) -> Result<Found, BusError> {
    let mut failure = None;
    for door in doors(site, first) {
        let found = match &site.topology {
            Topology::One => one(Server::new(door.clone()), pushes).await,
            Topology::Cluster => cluster(Server::new(door.clone()), pushes).await,
            Topology::Sentinel(name) => match master(door, name).await {
                Ok(master) => one(master, pushes).await,
                Err(error) => Err(error),
            },
        };
        match found {
            Ok(found) => return Ok(found),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(no_door))
}

/// Asks the doors in turn, starting with this one, until one tells the server that a key is on.
#[cfg(feature = "completions")]
pub(crate) async fn owner(site: &Site, first: usize, key: &str) -> Result<Server, BusError> {
    let mut failure = None;
    for door in doors(site, first) {
        let found = match &site.topology {
            Topology::One => Ok(Server::new(door.clone())),
            Topology::Cluster => shard(Server::new(door.clone()), key).await,
            Topology::Sentinel(name) => master(door, name).await,
        };
        match found {
            Ok(found) => return Ok(found),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(no_door))
}

fn doors(site: &Site, first: usize) -> impl Iterator<Item = &ConnectionInfo> {
    let count = site.doors.len();
    (0..count).map(move |step| &site.doors[(first % count + step) % count])
}

fn no_door() -> BusError {
    BusError::new(
        BusErrorKind::Unreachable,
        "the url of redis names no server",
    )
}

async fn one(server: Server, pushes: &Arc<Pushes>) -> Result<Found, BusError> {
    let connections = server.open_master(pushes).await?;
    Ok(Found {
        layout: Layout {
            servers: vec![server],
            slots: None,
        },
        pairs: vec![Some(connections)],
        door: None,
    })
}

async fn cluster(node: Server, pushes: &Arc<Pushes>) -> Result<Found, BusError> {
    let mut door = node.connect(pushes).await?;
    let (servers, slots) = shards(&node, &mut door).await?;
    Ok(Found {
        pairs: servers.iter().map(|_| None).collect(),
        layout: Layout {
            servers,
            slots: Some(slots),
        },
        door: Some(door),
    })
}

/// The server of a key, as this node has it.
#[cfg(feature = "completions")]
async fn shard(node: Server, key: &str) -> Result<Server, BusError> {
    let dialled = node.dial(|_| {}).await;
    let mut door = dialled.map_err(|error| node.voice.error("connect", error))?;
    let (servers, slots) = shards(&node, &mut door).await?;
    let mut layout = Layout {
        servers,
        slots: Some(slots),
    };
    let owner = layout.owner(key)?;
    Ok(layout.servers.swap_remove(owner))
}

/// The masters of a cluster, and how it divides its keys among them.
async fn shards(
    node: &Server,
    door: &mut MultiplexedConnection,
) -> Result<(Vec<Server>, Slots), BusError> {
    let answer: Value = redis::cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(door)
        .await
        .map_err(|error| node.voice.error("tell the shards of its cluster", error))?;
    let (asked, _) = node.voice.address.rsplit_once(':').unwrap_or_default();
    let slots = Slots::parse(&answer, asked).ok_or_else(|| {
        let message = format!(
            "redis at {} did not tell the shards of its cluster so that it could be understood",
            node.voice.address
        );
        BusError::new(BusErrorKind::Protocol, message)
    })?;
    let servers = slots
        .masters()
        .iter()
        .map(|(host, port)| Server::new(site::moved(node.info(), host, *port)))
        .collect();
    Ok((servers, slots))
}

/// The master that a Sentinel knows by this name.
async fn master(door: &ConnectionInfo, name: &str) -> Result<Server, BusError> {
    // The credentials are the master's.
    let nobody = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
    let sentinel = Server::new(door.clone().set_redis_settings(nobody));
    // What becomes of this connection is nothing to the link.
    let dialled = sentinel.dial(|_| {}).await;
    let mut asking = dialled.map_err(|error| sentinel.voice.error("connect", error))?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let answer: Option<(String, u16)> = question
        .query_async(&mut asking)
        .await
        .map_err(|error| sentinel.voice.error("tell the master", error))?;
    let Some((host, port)) = answer else {
        let message = format!(
            "the sentinel at {} knows no master called {name}: is that the name behind the slash of the url?",
            sentinel.voice.address
        );
        return Err(BusError::new(BusErrorKind::Unreachable, message));
    };
    Ok(Server::new(site::moved(door, &host, port)))
}
