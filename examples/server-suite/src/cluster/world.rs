//! Brokers, and servers that meet on them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use midplane_testkit::server::{Lease, Server as Broker, SharedServer};
use serde_json::{Value, json};

use super::Programs;
use crate::client::Client;
use crate::fixture::{Program, Server, Site, target};
use crate::until;

/// A heartbeat that a busy machine keeps, and that is not waited for long.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

/// How much later than promised something may be on a machine that does much else.
const BUSY: Duration = Duration::from_secs(3);

/// The flags that say so.
const FLAGS: &[&str] = &["--heartbeat", "1s"];

static REDIS: SharedServer = SharedServer::new(Broker::redis);
static VALKEY: SharedServer = SharedServer::new(Broker::valkey);
static NATS: SharedServer = SharedServer::new(Broker::nats);
static POSTGRES: SharedServer = SharedServer::new(Broker::postgres);
static PREFIXES: AtomicU64 = AtomicU64::new(0);

/// The sorts of broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
    /// NATS.
    Nats,
    /// Postgres.
    Postgres,
}

impl Kind {
    /// A broker that other checks use, too, and none harms.
    pub(crate) fn shared(self) -> Lease {
        match self {
            Self::Redis => REDIS.get(),
            Self::Valkey => VALKEY.get(),
            Self::Nats => NATS.get(),
            Self::Postgres => POSTGRES.get(),
        }
    }

    /// A broker of one's own.
    pub(crate) fn own(self) -> Broker {
        match self {
            Self::Redis => Broker::redis(),
            Self::Valkey => Broker::valkey(),
            Self::Nats => Broker::nats(),
            Self::Postgres => Broker::postgres(),
        }
    }
}

/// Has a Redis do this.
pub(crate) fn order(redis: &Broker, command: &[&str]) {
    let answer = redis.redis_command(command);
    assert!(!answer.starts_with('-'), "{command:?}: {answer}");
}

/// A prefix that no other check has.
pub(crate) fn prefix() -> String {
    let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
    format!("check{}-{number}", std::process::id())
}

/// As many servers, alternately on tokio and on smol, once each knows the others and is ready.
pub(crate) async fn nodes(
    programs: Programs,
    count: usize,
    url: &str,
    flags: &[&str],
) -> Vec<Server> {
    let paths = [programs.tokio, programs.smol];
    let beats = match flags.contains(&FLAGS[0]) {
        true => &[],
        false => FLAGS,
    };
    let flags = [&["--backplane", url], beats, flags].concat();
    let start = |path| Program::new(path).start(&flags);
    let servers: Vec<_> = paths.into_iter().cycle().take(count).map(start).collect();
    let sites: Vec<&Site> = servers.iter().map(|server| &server.site).collect();
    met(&sites).await;
    servers
}

/// Waits until each knows the others and is ready.
pub(crate) async fn met(sites: &[&Site]) {
    for site in sites {
        until("the nodes know each other", async || {
            (site.members().await == sites.len() - 1).then_some(())
        })
        .await;
        site.is_ready().await;
    }
}

impl Site {
    /// What the server says of its backplane.
    pub(crate) async fn backplane(&self) -> Value {
        self.get("/healthz").await.json()["backplane"].clone()
    }

    /// How many other nodes the server knows of.
    pub(crate) async fn members(&self) -> usize {
        let backplane = self.backplane().await;
        let members = backplane["members"].as_object();
        members
            .unwrap_or_else(|| panic!("no members in {backplane}"))
            .len()
    }

    /// A count of the backplane's.
    pub(crate) async fn counted(&self, what: &str) -> u64 {
        let backplane = self.backplane().await;
        let count = backplane.pointer(what).and_then(Value::as_u64);
        count.unwrap_or_else(|| panic!("no {what} in {backplane}"))
    }

    pub(crate) async fn readiness(&self) -> u16 {
        self.get("/readyz").await.status
    }

    /// Waits until the server is ready.
    pub(crate) async fn is_ready(&self) {
        let ready = async || (self.readiness().await == 200).then_some(());
        until("the server is ready", ready).await;
    }

    /// Waits until the server is not ready, which must be within two heartbeats of `since`, and say why.
    pub(crate) async fn is_unready(&self, since: Instant) {
        let answer = until("the server is not ready", async || {
            let answer = self.get("/readyz").await;
            (answer.status == 503).then_some(answer)
        })
        .await;
        let took = since.elapsed();
        assert!(took < HEARTBEAT * 2 + BUSY, "not ready after {took:?}");
        let reason = answer.json();
        assert_eq!(reason["status"], "degraded", "{reason}");
        assert!(reason["reason"].is_string(), "{reason}");
    }
}

/// A client of a server that is in the topic `t`.
pub(crate) async fn listener(site: &Site, identity: &str) -> Client {
    let mut client = Client::connect(site, identity).await;
    client.join("t").await;
    client
}

pub(crate) fn topic() -> Value {
    target("topic", "t")
}

/// Publishes a fence from every server, and waits until each client got all of them and nothing else: what was
/// published before on the same node to the same target would come before.
pub(crate) async fn fenced(sites: &[&Site], clients: &mut [Client], target: &Value, round: &str) {
    let fence = |node: usize| json!({ "fence": node, "round": round }).to_string();
    let fences: Vec<_> = (0..sites.len()).map(fence).collect();
    for (site, fence) in sites.iter().zip(&fences) {
        site.publish(target, fence).await;
    }
    for client in clients {
        let mut events = Vec::new();
        for _ in &fences {
            events.push(client.event().await);
        }
        events.sort();
        assert_eq!(events, fences);
    }
}
