//! Three servers on one broker, with clients that listen and publishers that go on.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use midplane::{Audience, LaneMap, Scope, Target};
use midplane_testkit::PATIENCE;
use midplane_testkit::child::{self, Signal};
use midplane_testkit::proxy::{Proxy, Way as Direction};
use midplane_testkit::server::{Server as Broker, ServerKind};
use tokio::time::{sleep, timeout};

use super::history::ClientHistory;
use super::publisher::{Publisher, Way};
use crate::client::Client;
use crate::cluster::Programs;
use crate::fixture::Server;

/// How many servers there are.
pub(super) const SERVERS: usize = 3;

/// How many lanes there are: so many that a topic and the target that a connection itself is seldom share one, for who
/// is told of a lane is told for either.
const LANES: u32 = 4096;

/// The topics to which is published. Behind them is one to which nobody publishes.
const LOUD: usize = 3;

/// The time between two looks at what is waited for.
const GLANCE: Duration = Duration::from_millis(50);

/// Servers with their clients and publishers.
pub(super) struct OutageCluster {
    pub(super) kind: ServerKind,
    pub(super) broker: Arc<Broker>,
    /// One in front of the broker for each server.
    pub(super) proxies: Vec<Proxy>,
    pub(super) servers: Vec<Server>,
    /// The place of a server that was killed.
    pub(super) killed: Option<usize>,
    pub(super) publishers: Vec<Arc<Publisher>>,
    pub(super) clients: Vec<Arc<ClientHistory>>,
    pub(super) topics: Arc<[String]>,
    flags: String,
    /// Whether each server reaches the broker through its proxy.
    proxied: bool,
    programs: Programs,
}

impl OutageCluster {
    /// Starts a broker, servers that find each other on it, and their clients; and publishers, which wait.
    pub(super) async fn start(
        programs: Programs,
        kind: ServerKind,
        flags: &str,
        proxied: bool,
        rate: u32,
    ) -> Self {
        let broker = tokio::task::spawn_blocking(move || kind.start()).await;
        let mut cluster = Self {
            kind,
            broker: Arc::new(broker.expect("the broker starts")),
            proxies: Vec::new(),
            servers: Vec::new(),
            killed: None,
            publishers: Vec::new(),
            clients: Vec::new(),
            topics: topics(),
            flags: flags.to_owned(),
            proxied,
            programs,
        };
        for _ in 0..SERVERS {
            cluster.add_server(Duration::ZERO).await;
        }
        let ready = cluster.ready(Instant::now()).await;
        assert!(ready.is_some(), "the servers do not find each other");
        for server in 0..SERVERS {
            cluster.add_clients(server).await;
            cluster.add_publishers(server, rate).await;
        }
        cluster
    }

    /// Starts a server at this distance from the broker.
    pub(super) async fn add_server(&mut self, latency: Duration) {
        let place = self.servers.len();
        let proxy = Proxy::start(self.broker.address());
        for way in [Direction::ToServer, Direction::ToClient] {
            proxy.delay(way, latency);
        }
        let url = match self.proxied {
            true => self.broker.url_at(proxy.address()),
            false => self.broker.url(),
        };
        let flags = format!("--backplane {url} --lanes {LANES} {}", self.flags);
        // The servers that are on tokio on Redis and NATS are on smol on Valkey and Postgres.
        let first = matches!(self.kind, ServerKind::Redis | ServerKind::Nats);
        let program = match first == place.is_multiple_of(2) {
            true => self.programs.tokio,
            false => self.programs.smol,
        };
        let server = tokio::task::spawn_blocking(move || program.start(&flags)).await;
        self.servers.push(server.expect("the server starts"));
        self.proxies.push(proxy);
    }

    /// Connects clients to a server: in all topics, in one, and in that to which nobody publishes.
    pub(super) async fn add_clients(&mut self, server: usize) {
        let loud: Vec<_> = (0..LOUD).collect();
        for topics in [loud, vec![1], vec![LOUD]] {
            let mut client = Client::connect(&self.servers[server], "").await;
            for topic in &topics {
                client.join(&self.topics[*topic]).await;
            }
            let history = ClientHistory::new(server, topics, Instant::now());
            let history = Arc::new(history);
            self.clients.push(history.clone());
            tokio::spawn(async move { history.record(client).await });
        }
    }

    /// Connects a publisher to a server by WebSocket and one by HTTP, which together publish `rate` events a second.
    async fn add_publishers(&mut self, server: usize, rate: u32) {
        let endpoint = self.servers[server].endpoint;
        let loud: Arc<[String]> = self.topics[..LOUD].into();
        let mut client = Client::connect(&endpoint, "").await;
        for topic in loud.iter() {
            client.join(topic).await;
        }
        for way in [Way::WebSocket(Box::new(client)), Way::Http(endpoint)] {
            let every = Duration::from_secs(2) / rate;
            let number = self.publishers.len();
            self.publishers
                .push(Publisher::start(number, way, loud.clone(), every));
        }
    }

    /// Kills a server.
    pub(super) fn kill_server(&mut self, server: usize) {
        self.killed = Some(server);
        self.servers[server].signal(Signal::KILL);
    }

    /// Lets publishers publish, those of a server that is dead aside.
    pub(super) fn resume(&self) {
        let alive = |place: &usize| self.killed != Some(place / 2);
        for place in (0..self.publishers.len()).filter(alive) {
            self.publishers[place].resume();
        }
    }

    /// Lets publishers finish what they are at, and publish no more.
    pub(super) async fn rest(&self) {
        for publisher in &self.publishers {
            publisher.rest().await;
        }
    }

    /// Lets the publishers of one server finish what they are at, and publish no more.
    pub(super) async fn rest_at(&self, server: usize) {
        for publisher in &self.publishers[2 * server..2 * server + 2] {
            publisher.rest().await;
        }
    }

    /// Waits until every server that lives is ready and knows the others, and says how long that took since the
    /// fault ended; `None` when it is not so within three times [`PATIENCE`].
    pub(super) async fn ready(&self, since: Instant) -> Option<Duration> {
        let alive = |place: &usize| self.killed != Some(*place);
        let alive: Vec<_> = (0..self.servers.len()).filter(alive).collect();
        let ready = async {
            for place in &alive {
                let server = &self.servers[*place];
                // A server that was killed without a word is known for a while.
                while server.readiness().await != 200 || server.members().await < alive.len() - 1 {
                    sleep(GLANCE).await;
                }
            }
        };
        timeout(PATIENCE * 3, ready).await.ok()?;
        Some(since.elapsed())
    }

    /// Has the broker do something that blocks the thread.
    pub(super) async fn broker_does(&self, what: impl FnOnce(&Broker) + Send + 'static) {
        let broker = self.broker.clone();
        let done = tokio::task::spawn_blocking(move || what(&broker)).await;
        done.expect("the broker does it");
    }

    /// Ends the connections of all servers with the broker, by a command of the broker: all, or on Redis and Valkey also
    /// those alone that are subscribed. False on a broker that has no such command.
    pub(super) async fn kill_links(&self, subscribed: bool) -> bool {
        match self.kind {
            ServerKind::Redis | ServerKind::Valkey if subscribed => {
                self.broker_does(|broker| kill_type(broker, "pubsub")).await;
            }
            ServerKind::Redis | ServerKind::Valkey => {
                self.broker_does(|broker| {
                    for kind in ["normal", "pubsub"] {
                        kill_type(broker, kind);
                    }
                })
                .await;
            }
            ServerKind::Postgres => {
                let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
                self.broker_does(move |broker| {
                    let mut psql = Command::new("psql");
                    psql.args([&broker.url(), "--quiet", "--command", terminate]);
                    child::run(&mut psql);
                })
                .await;
            }
            ServerKind::Nats => return false,
        }
        true
    }

    /// The lane of a topic.
    pub(super) fn lane(&self, topic: usize) -> u32 {
        lane(&self.topics[topic])
    }
}

fn kill_type(broker: &Broker, kind: &str) {
    broker.redis_does(&["CLIENT", "KILL", "TYPE", kind]);
}

/// The topics, each on a lane of its own other than lane 0: [`LOUD`] and a quiet one.
fn topics() -> Arc<[String]> {
    let mut topics: Vec<String> = Vec::new();
    for number in 0.. {
        let topic = format!("t{number}");
        let taken = topics.iter().any(|other| lane(other) == lane(&topic));
        if !taken && lane(&topic) != 0 {
            topics.push(topic);
        }
        if topics.len() > LOUD {
            break;
        }
    }
    topics.into()
}

fn lane(topic: &str) -> u32 {
    let target = Target::topic(topic).expect("a short name");
    let lane = LaneMap::new(LANES).lane(&Scope::default(), &Audience::from(target));
    lane.0
}
