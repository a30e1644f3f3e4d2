//! `/readyz` says the truth: not ready within two heartbeats of a fault, and ready by itself when it is over.

use std::time::Instant;

use midplane_testkit::server::Server as Broker;
use midplane_testkit::{PATIENCE, until};

use super::nodes::Nodes;
use super::{Programs, ServerKind};
use crate::http::Request;

impl Nodes {
    /// Starts two servers with a client each.
    async fn pair(programs: Programs, url: &str) -> Self {
        let mut nodes = Self::start(programs.in_turn(), 2, url, "").await;
        nodes.listen().await;
        nodes
    }

    /// While the fault lasts: not ready, and what is published reaches the clients of the node at once.
    async fn are_unready(&mut self, since: Instant) {
        for (server, client) in self.servers.iter().zip(&mut self.clients) {
            server.is_unready(since).await;
            server.delivers(&client.target(), "0", 1).await;
            assert_eq!(client.event().await, "0");
        }
    }

    /// When the fault is over: ready, and events go everywhere again.
    async fn heal(mut self) {
        for server in &self.servers {
            server.is_ready().await;
            assert!(server.counted("/session_failures").await > 0);
        }
        self.fenced("healed").await;
    }
}

/// Every connection that is subscribed is killed, again and again.
pub async fn a_subscription_that_is_cut(programs: Programs) {
    let broker = Broker::redis_with(&[]);
    let nodes = Nodes::pair(programs, &broker.url()).await;
    let since = Instant::now();
    for server in &nodes.servers {
        // The nodes are back at once, so the kill is repeated until they are seen to be gone.
        while server.readiness().await == 200 {
            broker.redis_does(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            assert!(since.elapsed() < PATIENCE, "it is ready all along");
        }
    }
    nodes.heal().await;
}

/// The user may not subscribe to the channels any more.
pub async fn a_permission_that_is_removed(programs: Programs) {
    let broker = Broker::redis_with(&[]);
    let user = ["ACL", "SETUSER", "node"];
    let rights = ["on", ">secret", "allchannels", "allcommands"];
    broker.redis_does(&[&user[..], &rights].concat());
    let url = format!("redis://node:secret@{}", broker.address());
    let mut nodes = Nodes::pair(programs, &url).await;
    let since = Instant::now();
    broker.redis_does(&[&user[..], &["resetchannels"]].concat());
    nodes.are_unready(since).await;
    broker.redis_does(&[&user[..], &["allchannels"]].concat());
    nodes.heal().await;
}

/// Runs two servers on a broker while it has a fault.
async fn through(programs: Programs, broker: Broker, fault: fn(&Broker), heal: fn(&Broker)) {
    let mut nodes = Nodes::pair(programs, &broker.url()).await;
    let since = Instant::now();
    fault(&broker);
    nodes.are_unready(since).await;
    heal(&broker);
    nodes.heal().await;
}

/// The master becomes the replica of a server that is not there.
pub async fn a_master_that_is_demoted(programs: Programs) {
    let demote: fn(&Broker) = |broker| broker.redis_does(&["REPLICAOF", "127.0.0.1", "1"]);
    let promote: fn(&Broker) = |broker| broker.redis_does(&["REPLICAOF", "NO", "ONE"]);
    through(programs, Broker::redis_with(&[]), demote, promote).await;
}

/// The broker stands still, with every connection open, and goes on.
pub async fn a_broker_that_stands_still(programs: Programs, kind: ServerKind) {
    through(programs, kind.start(), Broker::stop, Broker::thaw).await;
}

/// The broker dies and comes back.
pub async fn a_broker_that_is_killed(programs: Programs, kind: ServerKind) {
    through(programs, kind.start(), Broker::kill, Broker::restart).await;
}

/// Two nodes are on one broker and a third is on another, by mistake, and each was told to expect three: none is ready, and
/// each says why. A fourth on the first broker makes three there.
pub async fn two_brokers_by_mistake(programs: Programs) {
    let brokers = [Broker::redis_with(&[]), Broker::redis_with(&[])];
    let start = |number: usize, broker: &Broker| {
        let program = programs.in_turn()[number % 2];
        let url = broker.url();
        program.start(&format!(
            "--backplane {url} --heartbeat 1s --expected-members 3 --node-name web-{number}"
        ))
    };
    let mut servers: Vec<_> = (0..3)
        .map(|number| start(number, &brokers[number / 2]))
        .collect();
    let request = Request::new("GET", "/readyz");
    for (server, heard) in servers.iter().zip([2, 2, 1]) {
        let reason = format!("{heard} of 3 expected members are heard");
        until(&reason, async || {
            let answer = request.send(server.address).await;
            assert_eq!(answer.status, 503);
            (answer.json()["reasons"][0] == *reason).then_some(())
        })
        .await;
    }
    servers.push(start(3, &brokers[0]));
    for number in [0, 1, 3] {
        servers[number].is_ready().await;
    }
    let nodes = servers[0].get("/nodes", 200).await.json();
    let others = nodes["others"].as_array().expect("a list of nodes");
    let mut names: Vec<_> = others
        .iter()
        .map(|other| other["name"].to_string())
        .collect();
    names.sort();
    assert_eq!(names, ["\"web-1\"", "\"web-3\""]);
    assert_eq!(servers[2].readiness().await, 503);
}
