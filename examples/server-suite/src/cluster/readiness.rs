//! `/readyz` says the truth: not ready within two heartbeats of a fault, and ready by itself when it is over.

use std::time::Instant;

use midplane_testkit::server::Server as Broker;

use super::Programs;
use super::world::{Kind, fenced, listener, nodes, order, topic};
use crate::client::Client;
use crate::fixture::{Server, Site};

/// Servers of which each has a client.
struct World {
    servers: Vec<Server>,
    clients: Vec<Client>,
}

impl World {
    async fn start(programs: Programs, url: &str) -> Self {
        let servers = nodes(programs, 2, url, &[]).await;
        let mut clients = Vec::new();
        for server in &servers {
            clients.push(listener(server, "").await);
        }
        Self { servers, clients }
    }

    fn sites(&self) -> Vec<&Site> {
        self.servers.iter().map(|server| &server.site).collect()
    }

    /// While the fault lasts: not ready, and what is published reaches the clients of the node at once.
    async fn is_unready(&mut self, since: Instant) {
        for (server, client) in self.servers.iter().zip(&mut self.clients) {
            server.is_unready(since).await;
            let receipt = server.receipt(&client.target(), "0").await;
            assert_eq!(receipt["delivered"], 1, "{receipt}");
            assert_eq!(client.event().await, "0");
        }
    }

    /// When it is over: ready, and events go everywhere again.
    async fn heals(mut self) {
        for server in &self.servers {
            server.is_ready().await;
            assert!(server.counted("/session_failures").await > 0);
        }
        let sites: Vec<&Site> = self.servers.iter().map(|server| &server.site).collect();
        fenced(&sites, &mut self.clients, &topic(), "healed").await;
    }
}

/// Somebody kills every connection that is subscribed, again and again.
pub async fn a_subscription_that_is_cut(programs: Programs) {
    let broker = Broker::redis_with(&[]);
    let mut world = World::start(programs, &broker.url()).await;
    let since = Instant::now();
    for site in world.sites() {
        // The nodes are back at once, so it is done until they are seen to be gone.
        while site.readiness().await == 200 {
            order(&broker, &["CLIENT", "KILL", "TYPE", "pubsub"]);
            assert!(since.elapsed() < crate::PATIENCE, "it is ready all along");
        }
    }
    world.clients.truncate(2);
    world.heals().await;
}

/// The user may not hear the channels any more.
pub async fn a_permission_that_is_removed(programs: Programs) {
    let broker = Broker::redis_with(&[]);
    let user = ["ACL", "SETUSER", "node"];
    let rights = ["on", ">secret", "allchannels", "allcommands"];
    order(&broker, &[&user[..], &rights].concat());
    let url = format!("redis://node:secret@{}", broker.address());
    let mut world = World::start(programs, &url).await;
    let since = Instant::now();
    order(&broker, &[&user[..], &["resetchannels"]].concat());
    world.is_unready(since).await;
    order(&broker, &[&user[..], &["allchannels"]].concat());
    world.heals().await;
}

/// The master becomes somebody's replica.
pub async fn a_master_that_is_demoted(programs: Programs) {
    let broker = Broker::redis_with(&[]);
    let mut world = World::start(programs, &broker.url()).await;
    let since = Instant::now();
    order(&broker, &["REPLICAOF", "127.0.0.1", "1"]);
    world.is_unready(since).await;
    order(&broker, &["REPLICAOF", "NO", "ONE"]);
    world.heals().await;
}

/// The broker stands still, with every connection open, and goes on.
pub async fn a_broker_that_stands_still(programs: Programs, kind: Kind) {
    let broker = kind.own();
    let mut world = World::start(programs, &broker.url()).await;
    let since = Instant::now();
    broker.stop();
    world.is_unready(since).await;
    broker.thaw();
    world.heals().await;
}

/// The broker dies and comes back.
pub async fn a_broker_that_is_killed(programs: Programs, kind: Kind) {
    let broker = kind.own();
    let mut world = World::start(programs, &broker.url()).await;
    let since = Instant::now();
    broker.kill();
    world.is_unready(since).await;
    broker.restart();
    world.heals().await;
}
