//! Which server each lane is on, found anew for each session.

use std::sync::Arc;

use midplane_core::bus::{BusError, BusErrorKind};
use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, ProtocolVersion, RedisConnectionInfo, Value};

use crate::pushes::Pushes;
use crate::server::{Connections, Server};
use crate::site::{self, Site, Topology};
use crate::slots::{Slots, slot};

/// The servers of a session.
pub(crate) struct Layout {
    pub(crate) servers: Vec<Server>,
    /// How a cluster divides the channels among them; without it, all are the first one's.
    slots: Option<Slots>,
}

/// What a session starts with.
pub(crate) struct Found {
    pub(crate) layout: Layout,
    /// The connections to each server, as far as they are open.
    pub(crate) links: Vec<Option<Connections>>,
    /// The connection to the node of a cluster that told of the others: its loss is the session's end too, so that a
    /// session which hears no lane yet notices that the cluster is gone.
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

/// Asks the doors in turn, starting with this one, until one leads to a session.
pub(crate) async fn find(
    site: &Site,
    first: usize,
    pushes: &Arc<Pushes>,
) -> Result<Found, BusError> {
    let mut failure = None;
    for step in 0..site.doors.len() {
        let door = &site.doors[(first + step) % site.doors.len()];
        let found = match &site.topology {
            Topology::One => one(Server::new(door.clone()), pushes).await,
            Topology::Cluster => cluster(Server::new(door.clone()), pushes).await,
            Topology::Sentinel(name) => behind_sentinel(door, name, pushes).await,
        };
        match found {
            Ok(found) => return Ok(found),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| {
        BusError::new(
            BusErrorKind::Unreachable,
            "the url of redis names no server",
        )
    }))
}

async fn one(server: Server, pushes: &Arc<Pushes>) -> Result<Found, BusError> {
    let connections = server.open_master(pushes).await?;
    Ok(Found {
        layout: Layout {
            servers: vec![server],
            slots: None,
        },
        links: vec![Some(connections)],
        door: None,
    })
}

async fn cluster(node: Server, pushes: &Arc<Pushes>) -> Result<Found, BusError> {
    let mut door = node.connect(pushes).await?;
    let answer: Value = redis::cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(&mut door)
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
    let servers: Vec<_> = slots
        .masters()
        .iter()
        .map(|(host, port)| Server::new(site::moved(node.info(), host, *port)))
        .collect();
    Ok(Found {
        links: servers.iter().map(|_| None).collect(),
        layout: Layout {
            servers,
            slots: Some(slots),
        },
        door: Some(door),
    })
}

async fn behind_sentinel(
    door: &ConnectionInfo,
    name: &str,
    pushes: &Arc<Pushes>,
) -> Result<Found, BusError> {
    // The credentials are the master's.
    let nobody = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
    let sentinel = Server::new(door.clone().set_redis_settings(nobody));
    // What becomes of this connection is nothing to the session.
    let mut asking = sentinel.connect(&Arc::new(pushes.deaf())).await?;
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
    one(Server::new(site::moved(door, &host, port)), pushes).await
}
