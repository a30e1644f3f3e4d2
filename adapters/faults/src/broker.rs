//! What the scenarios ask of a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use midplane::bus::Bus;
use midplane_testkit::server::Server;

/// A server of one kind, and how it is made to fail. Every method may block.
pub trait Broker: Send + Sync {
    /// The server.
    fn server(&self) -> &Server;

    /// A bus with this prefix, which reaches the server at this address, as a user whose credentials can be
    /// [broken](Self::break_credentials).
    fn bus(&self, address: SocketAddr, prefix: &str) -> Arc<dyn Bus>;

    /// The shortest time between two heartbeats that a server and 200 nodes keep up with on two shared cores.
    fn heartbeat_of_200_nodes(&self) -> Duration;

    /// Ends the connections the nodes receive by; those they send by stay, if the server can tell them apart.
    fn cut_subscribers(&self);

    /// Changes the nodes' password on the server, and ends their links.
    fn break_credentials(&self);

    /// Undoes [`break_credentials`](Self::break_credentials).
    fn restore_credentials(&self);

    /// Takes the permission to subscribe from the nodes.
    fn revoke_permission(&self);

    /// Undoes [`revoke_permission`](Self::revoke_permission).
    fn restore_permission(&self);

    /// Allows fewer connections than the nodes need, and ends their links.
    fn limit_connections(&self);

    /// Undoes [`limit_connections`](Self::limit_connections).
    fn lift_connection_limit(&self);

    /// Lets the server soon drop a consumer that does not read; false if it waits instead. Called before any node
    /// connects.
    fn drop_slow_consumers(&self) -> bool;
}
