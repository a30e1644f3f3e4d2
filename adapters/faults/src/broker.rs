//! What the scenarios ask of a server.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use midplane::bus::Bus;
use midplane_testkit::server::Server;

/// Why a server does not let the nodes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFault {
    /// The nodes' password is another on the server.
    Password,
    /// The nodes may not subscribe.
    Permission,
    /// Fewer connections are allowed than the nodes need.
    ConnectionLimit,
}

/// A server of one kind, and how it is made to fail. Every method may block.
pub trait Broker: fmt::Debug + Send + Sync {
    /// The server.
    fn server(&self) -> &Server;

    /// A bus with this prefix, which reaches the server at this address, as a user who can be
    /// [refused](Self::refuse).
    fn bus(&self, address: SocketAddr, prefix: &str) -> Arc<dyn Bus>;

    /// The shortest time between two heartbeats that a server and 200 nodes keep up with on two shared cores.
    fn heartbeat_of_200_nodes(&self) -> Duration;

    /// Ends the connections the nodes receive by; those they send by stay, if the server can tell them apart.
    fn cut_subscribers(&self);

    /// Injects an access fault, and ends the links that it leaves.
    fn refuse(&self, fault: AccessFault);

    /// Undoes [`refuse`](Self::refuse).
    fn admit(&self, fault: AccessFault);

    /// Lets the server soon drop a consumer that does not read; false if it waits instead. Called before any node
    /// connects.
    fn drop_slow_consumers(&self) -> bool;
}
