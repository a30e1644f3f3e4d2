//! A Redis Cluster as it fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use midplane::bus::Bus;
use midplane_conformance::fixture::{RedisCluster, Server};
use midplane_redis::Redis;

use crate::Broker;

/// Three masters, with a user for the nodes, that the lanes are spread over.
#[derive(Debug)]
pub struct OverRedisCluster {
    cluster: RedisCluster,
}

const RULES: [&str; 6] = [
    "&*",
    "+hello",
    "+cluster|slots",
    "+ssubscribe",
    "+sunsubscribe",
    "+spublish",
];

impl OverRedisCluster {
    /// Starts them.
    ///
    /// # Panics
    /// When they do not start.
    #[must_use]
    pub fn start() -> Self {
        let cluster = RedisCluster::start();
        let over = Self { cluster };
        over.user(&["on", ">hunter2"]);
        over.user(&RULES);
        over
    }

    /// Gives the slot of every channel that anyone hears to the next master. It gives how many there were.
    ///
    /// # Panics
    /// When a master does not take it.
    pub fn move_slots(&self) -> usize {
        let heard = self
            .cluster
            .everywhere(&["PUBSUB", "SHARDCHANNELS", "faults-*"]);
        let mut moved = 0;
        for (owner, channels) in heard.iter().enumerate() {
            for channel in channels.lines().filter(|line| line.starts_with("faults-")) {
                let next = (owner + 1) % heard.len();
                self.cluster
                    .move_slot(self.cluster.slot(channel), owner, next);
                moved += 1;
            }
        }
        moved
    }

    fn user(&self, rules: &[&str]) {
        let command = [&["ACL", "SETUSER", "chat"], rules].concat();
        let answers = self.cluster.everywhere(&command);
        assert!(
            answers.iter().all(|answer| answer == "+OK\r\n"),
            "{answers:?}"
        );
    }

    fn configure(&self, name: &str, value: &str) {
        let answers = self.cluster.everywhere(&["CONFIG", "SET", name, value]);
        assert!(
            answers.iter().all(|answer| answer == "+OK\r\n"),
            "{answers:?}"
        );
    }

    fn kick(&self) {
        self.cluster.everywhere(&["CLIENT", "KILL", "USER", "chat"]);
    }
}

impl Broker for OverRedisCluster {
    fn server(&self) -> &Server {
        &self.cluster.nodes()[0]
    }

    /// The address is that of one master, who tells of the others: nodes reach those themselves.
    fn bus(&self, address: SocketAddr, prefix: &str) -> Arc<dyn Bus> {
        let url = format!("redis+cluster://chat:hunter2@{address}");
        let bus = Redis::new(&url).expect("a url");
        Arc::new(bus.with_prefix(prefix).expect("a prefix"))
    }

    fn heartbeat_of_many(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn cut_subscribers(&self) {
        self.cluster
            .everywhere(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    }

    fn lock_out(&self) {
        self.user(&["resetpass", ">another"]);
        self.kick();
    }

    fn let_in(&self) {
        self.user(&["resetpass", ">hunter2"]);
    }

    fn forbid(&self) {
        self.user(&["resetchannels"]);
    }

    fn permit(&self) {
        self.user(&RULES);
    }

    fn crowd_out(&self) {
        self.configure("maxclients", "6");
        self.kick();
    }

    fn make_room(&self) {
        // No command gets in either.
        self.cluster.nodes().iter().for_each(Server::restart);
    }

    fn hurry(&self) -> bool {
        self.configure("client-output-buffer-limit", "pubsub 65536 0 0");
        true
    }
}
