//! Benchmarks, each beside a floor or a peer of the same run.
//!
//! The machines these run on are shared, so absolute times say little. [`compare`] runs all contenders
//! of a case in turn, round after round, and reports the median of the ratios to the first of them.
//! `main.rs` is the command that runs all of them and writes the report.

mod inboxes;
pub mod load;
mod measure;
pub mod memory;
mod peers;
mod world;

pub use inboxes::Inboxes;
pub use measure::{Case, Contender, Quantiles, Row, compare, per_call};
pub use peers::{Closure, Floor, Locked, Midplane, Plane, Rooms, Sharded};
pub use world::{MEMBERS, count_only, event, id, shuffled, targets, targets_among};
