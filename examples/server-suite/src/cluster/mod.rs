//! What several servers on one bus promise, run against them as child processes and against real brokers.
//!
//! Every check takes the [`Programs`]; nodes are alternately on tokio and on smol.

pub mod flows;
pub mod foreign;
pub mod judged;
mod log;
pub(crate) mod nodes;
pub mod reach;
pub mod readiness;
pub mod stopping;

pub use midplane_testkit::server::ServerKind;

use crate::Program;

/// The programs of the servers.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    /// The server on tokio.
    pub tokio: Program,
    /// The server on smol.
    pub smol: Program,
    /// One of each in one process.
    pub both: Program,
}

impl Programs {
    /// The server on tokio and then that on smol.
    fn in_turn(self) -> [Program; 2] {
        [self.tokio, self.smol]
    }

    /// The two servers in either order.
    fn in_both_orders(self) -> [[Program; 2]; 2] {
        [[self.tokio, self.smol], [self.smol, self.tokio]]
    }
}
