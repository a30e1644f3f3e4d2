//! Postgres, and how it is made to fail.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use midplane::bus::Bus;
use midplane_postgres::Postgres;
use midplane_testkit::server::Server;

use crate::{AccessFault, Broker};

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
        let nodes = "FROM pg_stat_activity WHERE usename = 'chat'";
        self.run(&format!("SELECT pg_terminate_backend(pid) {nodes}"));
    }

    /// Postgres has no permission to listen, so the permission to connect is revoked.
    fn refuse(&self, fault: AccessFault) {
        self.run(match fault {
            AccessFault::Password => "ALTER USER chat PASSWORD 'another'",
            AccessFault::Permission => "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC",
            AccessFault::ConnectionLimit => "ALTER USER chat CONNECTION LIMIT 3",
        });
        self.cut_subscribers();
    }

    fn admit(&self, fault: AccessFault) {
        self.run(match fault {
            AccessFault::Password => "ALTER USER chat PASSWORD 'hunter2'",
            AccessFault::Permission => "GRANT CONNECT ON DATABASE postgres TO PUBLIC",
            AccessFault::ConnectionLimit => "ALTER USER chat CONNECTION LIMIT -1",
        });
    }

    fn drop_slow_consumers(&self) -> bool {
        false
    }
}
