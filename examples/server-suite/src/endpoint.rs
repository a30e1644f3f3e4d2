//! Where a server answers, and what is asked of it by HTTP.

use std::net::SocketAddr;

use midplane_testkit::child::Child;
use midplane_testkit::until;
use serde_json::{Value, json};

use crate::http::{Answer, Request};

/// What the ready line of a server says before its address.
const READY: &str = "listening on http://";

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
