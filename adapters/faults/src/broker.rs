//! What the scripts ask of a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use midplane::bus::Bus;
use midplane_conformance::fixture::Server;

/// A server of one kind, and how it is made to fail. Every method may block.
pub trait Broker: Send + Sync {
    /// The server.
    fn server(&self) -> &Server;

    /// A bus of the nodes with this prefix, which reaches the server at this address. It has a user that can
    /// be [locked out](Self::lock_out).
    fn bus(&self, address: SocketAddr, prefix: &str) -> Arc<dyn Bus>;

    /// How often each of two hundred nodes may make itself heard by all, for a server and nodes that share two cores.
    fn heartbeat_of_many(&self) -> Duration;

    /// Ends what the nodes hear by, and if the server can tell them apart, leaves what they send by.
    fn cut_subscribers(&self);

    /// Changes the nodes' password on the server, and ends their sessions.
    fn lock_out(&self);

    /// Undoes a [`lock_out`](Self::lock_out).
    fn let_in(&self);

    /// Takes from the nodes the permission to hear their channels.
    fn forbid(&self);

    /// Undoes a [`forbid`](Self::forbid).
    fn permit(&self);

    /// Lets so few connect at once that not all nodes can, and ends their sessions.
    fn crowd_out(&self);

    /// Undoes a [`crowd_out`](Self::crowd_out).
    fn make_room(&self);

    /// Makes the server give up soon on who does not read; false if it waits for as long as it takes. It is
    /// called before any node connects.
    fn hurry(&self) -> bool;
}
