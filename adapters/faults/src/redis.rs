//! Redis as it fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use midplane::bus::Bus;
use midplane_conformance::fixture::Server;
use midplane_redis::Redis;

use crate::Broker;

/// A Redis with a user for the nodes.
#[derive(Debug)]
pub struct OverRedis {
    server: Server,
}

const RULES: [&str; 6] = [
    "&*",
    "+hello",
    "+subscribe",
    "+unsubscribe",
    "+publish",
    "+ping",
];

impl OverRedis {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        // The user stands in the flags, so that it is there again after a restart.
        let mut flags = vec!["--user", "chat", "on", ">hunter2"];
        flags.extend(RULES);
        let server = Server::redis_with(&flags);
        Self { server }
    }

    fn user(&self, rules: &[&str]) {
        let answer = self
            .server
            .redis_command(&[&["ACL", "SETUSER", "chat"], rules].concat());
        assert_eq!(answer, "+OK\r\n");
    }

    fn kick(&self) {
        let _ = self
            .server
            .redis_command(&["CLIENT", "KILL", "USER", "chat"]);
    }

    /// Makes it the replica of a master that is not there: it takes no publish, and says nothing.
    pub fn demote(&self) {
        let answer = self.server.redis_command(&["REPLICAOF", "127.0.0.1", "1"]);
        assert_eq!(answer, "+OK\r\n");
    }

    /// Undoes a [`demote`](Self::demote).
    pub fn promote(&self) {
        let answer = self.server.redis_command(&["REPLICAOF", "NO", "ONE"]);
        assert_eq!(answer, "+OK\r\n");
    }
}

impl Broker for OverRedis {
    fn server(&self) -> &Server {
        &self.server
    }

    fn bus(&self, address: SocketAddr, prefix: &str) -> Arc<dyn Bus> {
        let bus = Redis::new(&format!("redis://chat:hunter2@{address}")).expect("a url");
        Arc::new(bus.with_prefix(prefix).expect("a prefix"))
    }

    fn heartbeat_of_many(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn cut_subscribers(&self) {
        let _ = self
            .server
            .redis_command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
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
        let answer = self
            .server
            .redis_command(&["CONFIG", "SET", "maxclients", "6"]);
        assert_eq!(answer, "+OK\r\n");
        self.kick();
    }

    fn make_room(&self) {
        // No command gets in either. Started again, it knows of no limit.
        self.server.restart();
    }

    fn hurry(&self) -> bool {
        let answer = self.server.redis_command(&[
            "CONFIG",
            "SET",
            "client-output-buffer-limit",
            "pubsub 65536 0 0",
        ]);
        assert_eq!(answer, "+OK\r\n");
        true
    }
}
