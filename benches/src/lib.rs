//! Benchmarks, each beside a floor or a peer of the same run.
//!
//! The machines these run on are shared, so absolute times say little. [`compare`] runs all contenders
//! of a case in turn, round after round, and reports the median of the ratios to the first of them.

mod inboxes;
mod measure;
mod peers;
mod world;

pub use inboxes::Inboxes;
pub use measure::{Contender, Quantiles, compare, per_call, section};
pub use peers::{Closure, Floor, Locked, Midplane, Plane, Sharded};
pub use world::{MEMBERS, count_only, event, id, shuffled, targets};
