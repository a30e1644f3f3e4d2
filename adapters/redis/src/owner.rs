//! Which server a key is on, found anew for each connection of a store.

use midplane_core::bus::BusError;

use crate::server::Server;
use crate::settings::Redis;
use crate::topology::{Topology, ask, shards};

impl Redis {
    /// The server that a key is on.
    pub(crate) async fn owner(&self, key: &str) -> Result<Server, BusError> {
        ask(self, |server, is_cluster| async move {
            match is_cluster {
                true => shard(server, key).await,
                false => Ok(server),
            }
        })
        .await
    }
}

/// The server of a key, as this node has it.
async fn shard(node: Server, key: &str) -> Result<Server, BusError> {
    let dialled = node.dial(|_| {}).await;
    let mut seed = dialled.map_err(|error| node.context.error("connect", error))?;
    let (servers, slots) = shards(&node, &mut seed).await?;
    let mut topology = Topology {
        servers,
        slots: Some(slots),
    };
    let owner = topology.owner(key)?;
    Ok(topology.servers.swap_remove(owner))
}
