//! NATS, and how it is made to fail.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use midplane::bus::Bus;
use midplane_nats::Nats;
use midplane_testkit::server::Server;
use tempfile::TempDir;

use crate::{AccessFault, Broker};

/// A NATS server whose configuration is a file that changes.
#[derive(Debug)]
pub struct NatsBroker {
    server: Server,
    path: PathBuf,
    _directory: TempDir,
}

/// The part of the configuration that scenarios change.
struct Settings {
    password: &'static str,
    permissions: &'static str,
    connections: u32,
    pending: &'static str,
}

impl Settings {
    const SOUND: Self = Self {
        password: "hunter2",
        permissions: "",
        connections: 60_000,
        pending: "64MB",
    };

    fn text(&self) -> String {
        let Self {
            password,
            permissions,
            connections,
            pending,
        } = self;
        format!(
            "max_connections: {connections}\n\
             max_pending: {pending}\n\
             authorization {{ users = [ {{ user: chat, password: {password} {permissions} }} ] }}\n"
        )
    }
}

impl NatsBroker {
    /// Starts a NATS server.
    ///
    /// # Panics
    /// When the server does not start.
    #[must_use]
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("nats.conf");
        fs::write(&path, Settings::SOUND.text()).expect("it is writable");
        let server = Server::nats_with(&["--config", path.to_str().expect("a path of text")]);
        Self {
            server,
            path,
            _directory: directory,
        }
    }

    fn configure(&self, settings: &Settings) {
        fs::write(&self.path, settings.text()).expect("it is writable");
        self.server.reload();
    }
}

impl Broker for NatsBroker {
    fn server(&self) -> &Server {
        &self.server
    }

    fn bus(&self, address: SocketAddr, prefix: &str) -> Arc<dyn Bus> {
        let bus = Nats::new(&format!("nats://chat:hunter2@{address}")).expect("a url");
        Arc::new(bus.with_prefix(prefix).expect("a prefix"))
    }

    fn heartbeat_of_200_nodes(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// A new password ends every connection, those of both sorts, and is taken back at once.
    fn cut_subscribers(&self) {
        self.refuse(AccessFault::Password);
        self.admit(AccessFault::Password);
    }

    fn refuse(&self, fault: AccessFault) {
        let mut settings = Settings::SOUND;
        match fault {
            AccessFault::Password => settings.password = "another",
            AccessFault::Permission => {
                settings.permissions = ", permissions { subscribe: { deny: \">\" } }";
            }
            AccessFault::ConnectionLimit => settings.connections = 3,
        }
        self.configure(&settings);
        if fault == AccessFault::ConnectionLimit {
            self.server.restart();
        }
    }

    fn admit(&self, _: AccessFault) {
        self.configure(&Settings::SOUND);
    }

    fn drop_slow_consumers(&self) -> bool {
        self.configure(&Settings {
            pending: "1MB",
            ..Settings::SOUND
        });
        // It reads this when it starts.
        self.server.restart();
        true
    }
}
