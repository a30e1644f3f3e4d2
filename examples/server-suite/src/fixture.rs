//! A server as a child process, and the endpoint it answers at.

use std::net::SocketAddr;
use std::ops::Deref;
use std::process::{Command, ExitStatus};

use futures::future::join_all;
use midplane_testkit::child::{Child, Signal};
use midplane_testkit::until;
use serde_json::{Value, json};

use crate::client::Client;
use crate::http::{Answer, Request};

/// What the ready line of a server says before its address.
const READY: &str = "listening on http://";

/// The program of a server.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    path: &'static str,
}

impl Program {
    /// The program at a path.
    #[must_use]
    pub const fn new(path: &'static str) -> Self {
        Self { path }
    }

    /// Starts the server on a free port, with flags that stand in one text with white space between.
    pub(crate) fn start(self, flags: &str) -> Server {
        self.start_at("127.0.0.1:0", flags)
    }

    /// Starts the server on a free port and connects a client of each identity.
    pub(crate) async fn start_with<const CLIENTS: usize>(
        self,
        flags: &str,
        identities: [&str; CLIENTS],
    ) -> (Server, [Client; CLIENTS]) {
        let server = self.start(flags);
        let clients = identities.map(|identity| Client::connect(&server, identity));
        let clients = join_all(clients).await.try_into();
        (server, clients.expect("a client of each identity"))
    }

    /// Starts the server at an address and waits until it says that it listens.
    pub(crate) fn start_at(self, address: &str, flags: &str) -> Server {
        let child = self.spawn(&[], &format!("--listen {address} {flags}"));
        let endpoint = Endpoint::of(&child);
        Server { child, endpoint }
    }

    /// Starts the program with nothing configured but this environment and these flags.
    pub(crate) fn spawn(self, environment: &[(&str, &str)], flags: &str) -> Child {
        let flags: Vec<_> = flags.split_whitespace().collect();
        self.spawn_with(environment, &flags)
    }

    fn spawn_with(self, environment: &[(&str, &str)], flags: &[&str]) -> Child {
        let mut command = Command::new(self.path);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MIDPLANE_") {
                command.env_remove(name);
            }
        }
        command.args(flags).envs(environment.iter().copied());
        Child::start(&command).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs the program until it ends by itself.
    pub(crate) async fn end(self, environment: &[(&str, &str)], flags: &[&str]) -> End {
        let mut child = self.spawn_with(environment, flags);
        let status = child.exit().await;
        End {
            status,
            stdout: child.rest().collect::<Vec<_>>().join("\n"),
            stderr: child.log(),
        }
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) endpoint: Endpoint,
}

impl Server {
    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Waits until the server ends by itself, which must be with this exit code.
    pub(crate) async fn ends_with(&mut self, code: i32) {
        let status = self.child.exit().await;
        assert_eq!(status.code(), Some(code), "{status}");
    }
}

impl Deref for Server {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// Where a server answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
}

impl Endpoint {
    /// Waits until the process says that it listens, and where.
    pub(crate) fn of(child: &Child) -> Self {
        let line = child.line_with(READY);
        let line = line.unwrap_or_else(|| panic!("no ready line; stderr: {}", child.log()));
        let (_, address) = line.split_once(READY).unwrap_or_default();
        let address = address.trim().parse();
        let address = address.expect("the ready line has an address");
        Self { address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gets a path, which must be answered with this status.
    pub(crate) async fn get(&self, path: &str, status: u16) -> Answer {
        Request::new("GET", path).answered(self, status).await
    }

    /// Posts a body to `/publish`, which must be answered with this status.
    pub(crate) async fn post(&self, body: impl AsRef<[u8]>, status: u16) -> Answer {
        let request = Request::publish(body).header("content-type", "application/json");
        request.answered(self, status).await
    }

    /// Publishes an event, written as JSON, to a target, and returns how many connections got it.
    pub(crate) async fn publish(&self, target: &Value, event: &str) -> u64 {
        let receipt = self.receipt(target, event).await;
        let delivered = receipt["delivered"].as_u64();
        delivered.unwrap_or_else(|| panic!("no count in {receipt}"))
    }

    /// Publishes an event, written as JSON, to a target, which must be delivered to this many connections.
    pub(crate) async fn delivers(&self, target: &Value, event: &str, connections: u64) {
        let delivered = self.publish(target, event).await;
        assert_eq!(delivered, connections, "{event} to {target}");
    }

    /// Publishes an event and returns the whole answer.
    pub(crate) async fn receipt(&self, target: &Value, event: &str) -> Value {
        self.post(publication(target, event), 200).await.json()
    }

    /// How many connections the server says it has.
    pub(crate) async fn connections(&self) -> u64 {
        let health = self.get("/healthz", 200).await.json();
        let connections = health["connections"].as_u64();
        connections.unwrap_or_else(|| panic!("no count of connections: {health}"))
    }

    /// Waits until the server has this many connections.
    pub(crate) async fn settles_at(&self, connections: u64) {
        let settled = async || (self.connections().await == connections).then_some(());
        until(format!("{connections} connections"), settled).await;
    }
}

/// The body of a publish request. The event goes in as it is written, to the byte.
pub(crate) fn publication(target: &Value, event: &str) -> String {
    format!(r#"{{"target":{target},"event":{event}}}"#)
}

/// A target as JSON.
pub(crate) fn target(kind: &str, id: &str) -> Value {
    json!({ "type": kind, "id": id })
}
