//! Which server a key is on, found anew for each connection of a store.

use midplane_core::bus::BusError;

use crate::sentinel;
use crate::server::Server;
use crate::settings::Redis;
use crate::topology::{Topology, no_seed, prepare, shards};
use crate::url::{Deployment, Endpoint};

impl Redis {
    /// The server that a key is on: the seed addresses are asked in turn, until one names it.
    pub(crate) async fn owner(&self, key: &str) -> Result<Server, BusError> {
        let Endpoint { deployment, seeds } = prepare(self)?;
        if let Deployment::Sentinel(name) = &deployment {
            return sentinel::master(&seeds, name).await;
        }
        let mut failure = no_seed();
        for seed in &seeds {
            let server = Server::new(seed.clone());
            let found = match &deployment {
                Deployment::Cluster => shard(server, key).await,
                _ => Ok(server),
            };
            match found {
                Ok(found) => return Ok(found),
                Err(error) => failure = error,
            }
        }
        Err(failure)
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
