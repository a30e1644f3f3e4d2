//! What is measured, and what it is measured beside.

mod floor;
mod locked;
mod midplane;
mod rooms;
mod sharded;

use ::midplane::{Audience, ConnectionId, Event, Target, Verdict};

pub use floor::Floor;
pub use locked::Locked;
pub use midplane::Midplane;
pub use rooms::Rooms;
pub use sharded::Sharded;

/// A sink as the peers hold it.
pub type Closure = std::sync::Arc<dyn Fn(&Event) -> Verdict + Send + Sync>;

/// The same few things by several means. Peers serve audiences of one target.
pub trait Plane: Sync {
    /// Its name in the tables.
    const NAME: &'static str;

    /// One without connections.
    fn empty() -> Self;

    /// Makes room in lists that are the benchmark's own, so that they are not measured.
    fn expect_connections(&mut self, _count: usize) {}

    /// Attaches a connection, for as long as this lives or until it is detached.
    fn attach(
        &mut self,
        id: &ConnectionId,
        sink: impl Fn(&Event) -> Verdict + Send + Sync + 'static,
    );

    /// Joins the connection attached last to a target.
    fn join_last(&mut self, target: &Target);

    /// Detaches the connection attached last.
    fn detach_last(&mut self);

    /// Gives how many sinks accepted the event.
    fn publish(&self, audience: &Audience, event: &Event) -> usize;
}

/// The one target of an audience.
fn target(audience: &Audience) -> Option<&Target> {
    audience.targets().next()
}
