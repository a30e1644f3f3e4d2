//! `/readyz` says the truth: not ready within two heartbeats of a fault, and ready by itself when it is over.

use std::time::Instant;

use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::Server as Broker;
use midplane_testkit::{PATIENCE, until};

use super::nodes::{Nodes, prefix};
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

impl Nodes {
    /// Waits until none is ready and each says why in these words.
    async fn are_unready_for(&self, words: &[String]) {
        let request = Request::new("GET", "/readyz");
        for server in &self.servers {
            until(format!("not ready: {words:?}"), async || {
                let answer = request.send(server.address).await;
                let reason = answer.json()["reason"].to_string();
                let says = words.iter().all(|words| reason.contains(words.as_str()));
                (answer.status == 503 && says).then_some(())
            })
            .await;
        }
    }
}

/// One of the two Sentinels that the servers ask begins to name another master. A link that is there stays; none is made until
/// they agree.
pub async fn sentinels_that_differ(programs: Programs) {
    let masters = [Broker::redis_with(&[]), Broker::redis_with(&[])];
    let sentinels = masters
        .each_ref()
        .map(|master| Broker::redis_sentinel("chat", master));
    let proxy = Proxy::start(sentinels[0].address());
    let url = format!(
        "redis+sentinel://{},{}/chat",
        sentinels[0].address(),
        proxy.address()
    );
    let nodes = Nodes::pair(programs, &url).await;
    proxy.lead_to(sentinels[1].address());
    masters[0].redis_does(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let named = masters.iter().map(|master| master.address().to_string());
    let words: Vec<_> = named.chain(["the sentinels differ".to_owned()]).collect();
    nodes.are_unready_for(&words).await;
    proxy.lead_to(sentinels[0].address());
    nodes.heal().await;
}

/// A pooler that gives each transaction another connection comes between the servers and their Postgres. A server does not
/// start behind one.
pub async fn a_pooler_of_transactions(programs: Programs) {
    let broker = ServerKind::Postgres.shared();
    let pooler = Broker::pgbouncer(&broker, "transaction");
    let words = "gives each transaction another connection".to_owned();
    let url = pooler.url();
    let flags = ["--listen", "127.0.0.1:0", "--backplane", url.as_str()];
    let end = programs.tokio.end(&[], &flags).await;
    assert!(
        !end.status.success() && end.stderr.contains(&words),
        "{end:?}"
    );

    let proxy = Proxy::start(broker.address());
    let url = broker.url_at(proxy.address());
    let flags = format!("--backplane-prefix {}", prefix());
    let mut nodes = Nodes::start(programs.in_turn(), 2, &url, &flags).await;
    nodes.listen().await;
    proxy.lead_to(pooler.address());
    nodes
        .are_unready_for(&[words, "pool_mode = session".to_owned()])
        .await;
    proxy.lead_to(broker.address());
    nodes.heal().await;
}
