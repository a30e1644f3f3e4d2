//! The planes that are measured: midplane, its peers and the floor.

mod floor;
mod locked;
mod midplane;
mod rooms;
mod sharded;

use ::instructions::{id, idle_sink, room, targets};
use ::midplane::{Audience, ConnectionId, Event, Target, Verdict};

pub use floor::Floor;
pub use locked::Locked;
pub use midplane::Midplane;
pub use rooms::Rooms;
pub use sharded::Sharded;

/// A sink as the peers hold it.
pub type Closure = std::sync::Arc<dyn Fn(&Event) -> Verdict + Send + Sync>;

/// What every plane can do. Peers serve audiences of one target.
pub trait MeasuredPlane: Sync {
    /// The plane's name in the tables.
    const NAME: &'static str;

    /// A plane without connections.
    fn empty() -> Self;

    /// Makes room in lists that belong to the benchmark, so that these are not measured.
    fn expect_connections(&mut self, _count: usize) {}

    /// Attaches a connection, until it is detached or the plane is dropped.
    fn attach(
        &mut self,
        id: &ConnectionId,
        sink: impl Fn(&Event) -> Verdict + Send + Sync + 'static,
    );

    /// Joins the connection attached last to a target.
    fn join_last(&mut self, target: &Target);

    /// Detaches the connection attached last.
    fn detach_last(&mut self);

    /// Publishes, and gives the number of sinks that accepted the event.
    fn publish(&self, audience: &Audience, event: &Event) -> usize;
}

/// A plane with this many members of [`room`], whose sinks are made from their numbers.
pub fn room_of<P: MeasuredPlane, S>(members: usize, mut sink: impl FnMut(usize) -> S) -> P
where
    S: Fn(&Event) -> Verdict + Send + Sync + 'static,
{
    let mut plane = P::empty();
    for number in 0..members {
        plane.attach(&id(number), sink(number));
        plane.join_last(&room());
    }
    plane
}

/// Attaches a numbered connection of `count`, in five targets: its own, a user and a session that nobody else is in, an
/// org of 1,000 and a topic of 100.
pub fn with_targets<P: MeasuredPlane>(plane: &mut P, number: usize, count: usize) {
    plane.attach(&id(number), idle_sink(number));
    for target in targets(number, number % (count / 100)) {
        plane.join_last(&target);
    }
}

/// The one target of an audience.
fn target(audience: &Audience) -> Option<&Target> {
    audience.targets().next()
}
