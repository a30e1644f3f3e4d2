//! Redis as it fails, alone and as a cluster.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use midplane::bus::Bus;
use midplane_redis::Redis;
use midplane_testkit::server::{RedisCluster, Server};

use crate::Broker;

/// A Redis, or several, with a user for the nodes.
#[derive(Debug)]
pub struct RedisBroker<S = Server> {
    servers: S,
}

/// Three masters that the lanes are spread over.
pub type RedisClusterBroker = RedisBroker<RedisCluster>;

/// One Redis, or all of a cluster.
pub trait Servers: Debug + Send + Sync {
    /// What stands before the user in the URL of nodes.
    const SCHEME: &str;
    /// What the user may do.
    const RULES: [&str; 6];

    /// The one that is stopped and killed, and whose address nodes are given.
    fn first(&self) -> &Server;
    /// Has each run a command, and gives their answers.
    fn everywhere(&self, command: &[&str]) -> Vec<String>;
    /// Kills each and starts it again where it was.
    fn restart(&self);
}

impl Servers for Server {
    const SCHEME: &str = "redis";
    const RULES: [&str; 6] = [
        "&*",
        "+hello",
        "+subscribe",
        "+unsubscribe",
        "+publish",
        "+ping",
    ];

    fn first(&self) -> &Server {
        self
    }

    fn everywhere(&self, command: &[&str]) -> Vec<String> {
        vec![self.redis_command(command)]
    }

    fn restart(&self) {
        Self::restart(self);
    }
}

/// Nodes are told of one master, who tells of the others: those they reach themselves.
impl Servers for RedisCluster {
    const SCHEME: &str = "redis+cluster";
    const RULES: [&str; 6] = [
        "&*",
        "+hello",
        "+cluster|slots",
        "+ssubscribe",
        "+sunsubscribe",
        "+spublish",
    ];

    fn first(&self) -> &Server {
        &self.nodes()[0]
    }

    fn everywhere(&self, command: &[&str]) -> Vec<String> {
        Self::everywhere(self, command)
    }

    fn restart(&self) {
        self.nodes().iter().for_each(Server::restart);
    }
}

impl RedisBroker {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        // The user stands in the flags, so that it is there again after a restart.
        let mut flags = vec!["--user", "chat", "on", ">hunter2"];
        flags.extend(<Server as Servers>::RULES);
        let servers = Server::redis_with(&flags);
        Self { servers }
    }

    /// Makes it the replica of a master that is not there: it takes no publish, and says nothing.
    pub fn demote(&self) {
        self.tell(&["REPLICAOF", "127.0.0.1", "1"]);
    }

    /// Undoes a [`demote`](Self::demote).
    pub fn promote(&self) {
        self.tell(&["REPLICAOF", "NO", "ONE"]);
    }
}

impl RedisClusterBroker {
    /// Starts them.
    ///
    /// # Panics
    /// When they do not start.
    #[must_use]
    pub fn start_cluster() -> Self {
        let servers = RedisCluster::start();
        let over = Self { servers };
        over.user(&["on", ">hunter2"]);
        over.user(&RedisCluster::RULES);
        over
    }

    /// Gives the slot of every channel that anyone hears to the next master. It gives how many there were.
    ///
    /// # Panics
    /// When a master does not take it.
    pub fn move_slots(&self) -> usize {
        let cluster = &self.servers;
        let heard = cluster.everywhere(&["PUBSUB", "SHARDCHANNELS", "faults-*"]);
        let mut moved = 0;
        for (owner, channels) in heard.iter().enumerate() {
            for channel in channels.lines().filter(|line| line.starts_with("faults-")) {
                let next = (owner + 1) % heard.len();
                cluster.move_slot(cluster.slot(channel), owner, next);
                moved += 1;
            }
        }
        moved
    }
}

impl<S: Servers> RedisBroker<S> {
    fn tell(&self, command: &[&str]) {
        for answer in self.servers.everywhere(command) {
            assert_eq!(answer, "+OK\r\n", "{command:?}");
        }
    }

    fn user(&self, rules: &[&str]) {
        self.tell(&[&["ACL", "SETUSER", "chat"], rules].concat());
    }

    fn kick(&self) {
        self.servers.everywhere(&["CLIENT", "KILL", "USER", "chat"]);
    }
}

impl<S: Servers> Broker for RedisBroker<S> {
    fn server(&self) -> &Server {
        self.servers.first()
    }

    fn bus(&self, address: SocketAddr, prefix: &str) -> Arc<dyn Bus> {
        let url = format!("{}://chat:hunter2@{address}", S::SCHEME);
        let bus = Redis::new(&url).expect("a url");
        Arc::new(bus.with_prefix(prefix).expect("a prefix"))
    }

    fn heartbeat_of_200_nodes(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn cut_subscribers(&self) {
        self.servers
            .everywhere(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    }

    fn break_credentials(&self) {
        self.user(&["resetpass", ">another"]);
        self.kick();
    }

    fn restore_credentials(&self) {
        self.user(&["resetpass", ">hunter2"]);
    }

    fn revoke_permission(&self) {
        self.user(&["resetchannels"]);
    }

    fn restore_permission(&self) {
        self.user(&S::RULES);
    }

    fn limit_connections(&self) {
        self.tell(&["CONFIG", "SET", "maxclients", "6"]);
        self.kick();
    }

    fn lift_connection_limit(&self) {
        // No command gets in either. Started again, none knows of a limit.
        self.servers.restart();
    }

    fn drop_slow_consumers(&self) -> bool {
        self.tell(&[
            "CONFIG",
            "SET",
            "client-output-buffer-limit",
            "pubsub 65536 0 0",
        ]);
        true
    }
}
