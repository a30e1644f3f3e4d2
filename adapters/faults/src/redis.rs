//! Redis, alone and as a cluster, and how it is made to fail.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use midplane::bus::Bus;
use midplane_redis::Redis;
use midplane_testkit::server::{RedisCluster, Server};

use crate::{AccessFault, Broker};

/// One Redis server or several, with a user for the nodes.
#[derive(Debug)]
pub struct RedisBroker<S = Server> {
    servers: S,
}

/// A Redis Cluster of three masters, over which the lanes are spread.
pub type RedisClusterBroker = RedisBroker<RedisCluster>;

/// One Redis server, or all servers of a cluster.
pub trait Servers: Debug + Send + Sync {
    /// The scheme of the nodes' URL.
    const SCHEME: &str;
    /// The permissions of the nodes' user.
    const RULES: [&str; 6];

    /// The server that is stopped and killed, and whose address the nodes are given.
    fn first(&self) -> &Server;
    /// Runs a command on each server, and returns the answers.
    fn everywhere(&self, command: &[&str]) -> Vec<String>;
    /// Kills each server and starts it again on its port.
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

/// Nodes are given the address of one master, and learn the others from it; no proxy stands before those.
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
    /// Starts a Redis server.
    ///
    /// # Panics
    /// When the server does not start.
    #[must_use]
    pub fn start() -> Self {
        // The user stands in the flags, so that it is there again after a restart.
        let mut flags = vec!["--user", "chat", "on", ">hunter2"];
        flags.extend(<Server as Servers>::RULES);
        let servers = Server::redis_with(&flags);
        Self { servers }
    }

    /// Makes the server a replica of a master that does not exist: it refuses publishes, and delivers nothing.
    pub fn demote(&self) {
        self.command(&["REPLICAOF", "127.0.0.1", "1"]);
    }

    /// Undoes a [`demote`](Self::demote).
    pub fn promote(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]);
    }
}

impl RedisClusterBroker {
    /// Starts the servers.
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

    /// Moves the slot of every subscribed channel to the next master, and returns how many slots moved.
    ///
    /// # Panics
    /// When a master does not take a slot.
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
    fn command(&self, command: &[&str]) {
        for answer in self.servers.everywhere(command) {
            assert_eq!(answer, "+OK\r\n", "{command:?}");
        }
    }

    fn user(&self, rules: &[&str]) {
        self.command(&[&["ACL", "SETUSER", "chat"], rules].concat());
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

    fn refuse(&self, fault: AccessFault) {
        match fault {
            AccessFault::Password => self.user(&["resetpass", ">another"]),
            // The server itself ends the links of subscribers.
            AccessFault::Permission => return self.user(&["resetchannels"]),
            AccessFault::ConnectionLimit => self.command(&["CONFIG", "SET", "maxclients", "6"]),
        }
        self.servers.everywhere(&["CLIENT", "KILL", "USER", "chat"]);
    }

    fn admit(&self, fault: AccessFault) {
        match fault {
            AccessFault::Password => self.user(&["resetpass", ">hunter2"]),
            AccessFault::Permission => self.user(&S::RULES),
            // No command gets in either. Started again, none knows of a limit.
            AccessFault::ConnectionLimit => self.servers.restart(),
        }
    }

    fn drop_slow_consumers(&self) -> bool {
        self.command(&[
            "CONFIG",
            "SET",
            "client-output-buffer-limit",
            "pubsub 65536 0 0",
        ]);
        true
    }
}
