//! What the programs of the benchmarks share: the planes that are measured, mailboxes, and the messages between the
//! report and the programs that it starts.
//!
//! `main.rs` is the command that runs the parts and writes the report.

mod inboxes;
pub mod load;
mod peers;
mod quantiles;

pub use inboxes::Inboxes;
pub use peers::{
    Closure, Floor, Locked, MeasuredPlane, Midplane, Rooms, Sharded, room_of, with_targets,
};
pub use quantiles::Quantiles;

/// The connections of the large cases.
pub const MEMBERS: usize = 100_000;

/// What one thing takes of the allocator, as `bin/memory` prints it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Allocated {
    /// The thing, or the plane that a connection is in.
    pub name: String,
    /// The number of connections, or 1 of a single thing.
    pub count: usize,
    /// The bytes of each.
    pub bytes: f64,
}
