//! Servers that meet on a broker, each with a client, and what they say of their backplane.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use midplane_testkit::server::{Lease, Server as Broker, ServerKind};
use midplane_testkit::until;
use serde_json::{Value, json};

use crate::Program;
use crate::client::Client;
use crate::fixture::{Endpoint, Server, target};
use crate::http::Request;

/// A heartbeat that a busy machine keeps, and that is not waited for long.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

/// How much later than promised something may be on a machine that does much else.
const BUSY: Duration = Duration::from_secs(3);

/// The flag that sets [`HEARTBEAT`], unless a check sets another one.
const HEARTBEAT_FLAG: &str = "--heartbeat";

static PREFIXES: AtomicU64 = AtomicU64::new(0);

/// Servers that know each other and are ready, and maybe a client in the topic `t` of each.
pub(crate) struct Nodes {
    pub(crate) servers: Vec<Server>,
    pub(crate) clients: Vec<Client>,
}

impl Nodes {
    /// Starts `count` servers on the broker at a URL, on these programs in turn, with these flags as well.
    pub(crate) async fn start(
        programs: [Program; 2],
        count: usize,
        url: &str,
        flags: &str,
    ) -> Self {
        let beats = match flags.contains(HEARTBEAT_FLAG) {
            true => "",
            false => "--heartbeat 1s",
        };
        let flags = format!("--backplane {url} {beats} {flags}");
        let programs = programs.into_iter().cycle().take(count);
        let servers: Vec<_> = programs.map(|program| program.start(&flags)).collect();
        let nodes = Self {
            servers,
            clients: Vec::new(),
        };
        met(&nodes.endpoints()).await;
        nodes
    }

    /// Connects a client to each server.
    pub(crate) async fn listen(&mut self) {
        for server in &self.servers {
            self.clients.push(listener(server, "").await);
        }
    }

    /// Starts servers on a broker that other checks use at the same time, under a prefix of their own. The broker
    /// lives as long as its lease.
    pub(crate) async fn start_shared(
        programs: [Program; 2],
        count: usize,
        kind: ServerKind,
        flags: &str,
    ) -> (Self, Lease<Broker>) {
        let broker = kind.shared();
        let flags = format!("--backplane-prefix {} {flags}", prefix());
        let nodes = Self::start(programs, count, &broker.url(), &flags).await;
        (nodes, broker)
    }

    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.servers.iter().map(|server| server.endpoint).collect()
    }

    /// Takes out a server with its client.
    pub(crate) fn remove(&mut self, which: usize) -> (Server, Client) {
        (self.servers.remove(which), self.clients.remove(which))
    }

    /// Checks that the topic reaches every client from every server, each event once, and nothing else came before.
    pub(crate) async fn fenced(&mut self, round: &str) {
        fenced(&self.endpoints(), &mut self.clients, &topic(), round).await;
    }
}

/// A prefix that no other check has.
pub(crate) fn prefix() -> String {
    let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
    format!("check{}-{number}", std::process::id())
}

/// Waits until each server knows the others and is ready.
pub(crate) async fn met(endpoints: &[Endpoint]) {
    for endpoint in endpoints {
        endpoint.knows(endpoints.len() - 1).await;
        endpoint.is_ready().await;
    }
}

impl Endpoint {
    /// What the server says of its backplane.
    pub(crate) async fn backplane(&self) -> Value {
        self.get("/healthz", 200).await.json()["backplane"].clone()
    }

    /// How many other nodes the server knows of.
    pub(crate) async fn members(&self) -> usize {
        let backplane = self.backplane().await;
        let members = backplane["members"].as_object();
        let members = members.unwrap_or_else(|| panic!("no members in {backplane}"));
        members.len()
    }

    /// Waits until the server knows of this many other nodes.
    pub(crate) async fn knows(&self, members: usize) {
        let known = async || (self.members().await == members).then_some(());
        until(format!("{members} other nodes are known"), known).await;
    }

    /// A count of the backplane's.
    pub(crate) async fn counted(&self, what: &str) -> u64 {
        let backplane = self.backplane().await;
        let count = backplane.pointer(what).and_then(Value::as_u64);
        count.unwrap_or_else(|| panic!("no {what} in {backplane}"))
    }

    /// Waits until the node has said that it missed something.
    pub(crate) async fn says_it_missed_something(&self) {
        let missed = async || (self.counted("/incidents").await > 0).then_some(());
        until("the node says that it missed something", missed).await;
    }

    pub(crate) async fn readiness(&self) -> u16 {
        let request = Request::new("GET", "/readyz");
        request.send(self.address).await.status
    }

    /// Waits until the server is ready.
    pub(crate) async fn is_ready(&self) {
        let ready = async || (self.readiness().await == 200).then_some(());
        until("the server is ready", ready).await;
    }

    /// Waits until the server is not ready, which must be within two heartbeats of `since`, and say why.
    pub(crate) async fn is_unready(&self, since: Instant) {
        let request = Request::new("GET", "/readyz");
        let answer = until("the server is not ready", async || {
            let answer = request.send(self.address).await;
            (answer.status == 503).then_some(answer)
        });
        let reason = answer.await.json();
        let took = since.elapsed();
        assert!(took < HEARTBEAT * 2 + BUSY, "not ready after {took:?}");
        assert_eq!(reason["status"], "degraded", "{reason}");
        assert!(reason["reason"].is_string(), "{reason}");
    }
}

/// A client of a server that is in the topic `t`.
pub(crate) async fn listener(endpoint: &Endpoint, identity: &str) -> Client {
    let mut client = Client::connect(endpoint, identity).await;
    client.join("t").await;
    client
}

pub(crate) fn topic() -> Value {
    target("topic", "t")
}

/// Publishes a fence from every server, and waits until each client got all of them and nothing else: what was
/// published before on the same node to the same target would come before.
pub(crate) async fn fenced(
    endpoints: &[Endpoint],
    clients: &mut [Client],
    target: &Value,
    round: &str,
) {
    let fence = |node: usize| json!({ "fence": node, "round": round }).to_string();
    let fences: Vec<_> = (0..endpoints.len()).map(fence).collect();
    for (endpoint, fence) in endpoints.iter().zip(&fences) {
        endpoint.publish(target, fence).await;
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
