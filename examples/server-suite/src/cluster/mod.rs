//! What several servers on one bus promise, run against them as child processes and against real brokers.
//!
//! Every check takes the [`Programs`]; nodes are alternately on tokio and on smol.

pub mod flows;
pub mod foreign;
pub mod judged;
mod log;
pub mod reach;
pub mod readiness;
pub mod stopping;
mod world;

pub use world::Kind;

/// The paths of the programs.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    /// The server on tokio.
    pub tokio: &'static str,
    /// The server on smol.
    pub smol: &'static str,
    /// One of each in one process.
    pub both: &'static str,
}
