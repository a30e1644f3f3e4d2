//! What several servers on one bus promise, run against them as child processes and against real brokers.
//!
//! Every check takes the [`Programs`]; nodes are alternately on tokio and on smol.

pub mod flows;
pub mod foreign;
pub mod judged;
mod log;
pub(crate) mod nodes;
mod programs;
pub mod reach;
pub mod readiness;
pub mod signing;
pub mod split;
pub mod stopping;

pub use midplane_testkit::server::ServerKind;
pub use programs::Programs;
