//! Postgres, and how it is made to fail.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use midplane::bus::Bus;
use midplane_postgres::Postgres;
use midplane_testkit::server::Server;

use crate::Broker;

/// A Postgres server with a user for the nodes.
#[derive(Debug)]
pub struct PostgresBroker {
    server: Server,
}

impl PostgresBroker {
    /// Starts a Postgres server.
    ///
    /// # Panics
    /// When the server does not start.
    #[must_use]
    pub fn start() -> Self {
        let server = Server::postgres_with(&["max_connections=300"]);
        let postgres = Self { server };
        postgres.run("CREATE USER chat PASSWORD 'hunter2'");
        postgres
    }

    /// Runs statements as the superuser.
    fn run(&self, statements: &str) {
        let output = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
            .arg("--dbname")
            .arg(self.server.url())
            .args(["--command", statements])
            .output()
            .expect("psql starts: apt-get install postgresql-client");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {said}");
    }

    fn kick(&self, whom: &str) {
        self.run(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'chat' {whom}"
        ));
    }
}

impl Broker for PostgresBroker {
    fn server(&self) -> &Server {
        &self.server
    }

    fn bus(&self, address: SocketAddr, prefix: &str) -> Arc<dyn Bus> {
        let url = format!("postgres://chat:hunter2@{address}/postgres");
        let bus = Postgres::new(&url).expect("a url");
        Arc::new(bus.with_prefix(prefix).expect("a prefix"))
    }

    /// Each `NOTIFY` wakes the process of every listener: 150 in a second are more than 200 of them keep up with.
    fn heartbeat_of_200_nodes(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn cut_subscribers(&self) {
        self.kick("");
    }

    fn break_credentials(&self) {
        self.run("ALTER USER chat PASSWORD 'another'");
        self.kick("");
    }

    fn restore_credentials(&self) {
        self.run("ALTER USER chat PASSWORD 'hunter2'");
    }

    /// Postgres has no permission to listen, so the permission to connect is revoked.
    fn revoke_permission(&self) {
        self.run("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC");
        self.kick("");
    }

    fn restore_permission(&self) {
        self.run("GRANT CONNECT ON DATABASE postgres TO PUBLIC");
    }

    fn limit_connections(&self) {
        self.run("ALTER USER chat CONNECTION LIMIT 3");
        self.kick("");
    }

    fn lift_connection_limit(&self) {
        self.run("ALTER USER chat CONNECTION LIMIT -1");
    }

    fn drop_slow_consumers(&self) -> bool {
        false
    }
}
