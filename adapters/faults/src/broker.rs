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

    /// A bus of the nodes with this prefix, which reaches the server at this address. It has a user that can
    /// be [locked out](Self::break_credentials).
    fn bus(&self, address: SocketAddr, prefix: &str) -> Arc<dyn Bus>;

    /// How often each of two hundred nodes may make itself heard by all, for a server and nodes that share two cores.
    fn heartbeat_of_200_nodes(&self) -> Duration;

    /// Ends what the nodes hear by, and if the server can tell them apart, leaves what they send by.
    fn cut_subscribers(&self);

    /// Changes the nodes' password on the server, and ends their sessions.
    fn break_credentials(&self);

    /// Undoes a [`break_credentials`](Self::break_credentials).
    fn restore_credentials(&self);

    /// Takes from the nodes the permission to hear their channels.
    fn revoke_permission(&self);

    /// Undoes a [`revoke_permission`](Self::revoke_permission).
    fn restore_permission(&self);

    /// Lets so few connect at once that not all nodes can, and ends their sessions.
    fn limit_connections(&self);

    /// Undoes a [`limit_connections`](Self::limit_connections).
    fn lift_connection_limit(&self);

    /// Makes the server give up soon on who does not read; false if it waits for as long as it takes. It is
    /// called before any node connects.
    fn drop_slow_consumers(&self) -> bool;
}
