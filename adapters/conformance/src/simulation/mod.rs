//! Whole nodes on a bus with every fault there is, in time that passes only when nodes waits.
//!
//! A run is made from a seed: real [`Cluster`](midplane::Cluster)s with their drivers, connections that
//! come and go, sinks of every behaviour, and faults at random until a moment after which all is well. It ends
//! with a [`History`], which the oracle judges. Nothing runs beside the one thread, and nothing waits for
//! real time: a run takes some milliseconds.
//!
//! ```
//! use midplane_conformance::simulation::{Scenario, run};
//!
//! let run = run(7, Scenario::EVERYTHING);
//! run.history.assert_holds(&run.bounds); // panics with what is wrong
//! ```

mod bus;
mod cluster;
pub mod protocol;
mod scenario;
mod workload;

use std::time::Duration;

pub use scenario::{Fault, Scenario};

use crate::history::{Bounds, History};
use cluster::{NO_PROCESS, SimulatedCluster};

/// For how long things go wrong.
const FAULTY: Duration = Duration::from_secs(12);

/// From then on nobody publishes, or comes, or goes.
const QUIET: Duration = Duration::from_secs(18);

/// What was lost is told by now.
const END: Duration = Duration::from_secs(22);

/// What happened in a run, and what it is held to.
#[derive(Debug)]
pub struct Run {
    /// What happened.
    pub history: History,
    /// What it is held to.
    pub bounds: Bounds,
}

/// The run of this seed. The same seed gives the same run, as far as the order of connections in a fan-out
/// allows: it is that of their addresses.
///
/// # Panics
/// When tasks spin, and when a node panics.
#[must_use]
pub fn run(seed: u64, scenario: Scenario) -> Run {
    let cluster = SimulatedCluster::new(seed, scenario);
    let tasks = cluster.tasks().clone();
    tasks.spawn(NO_PROCESS, cluster.clone().break_until(FAULTY));
    tasks.run(QUIET);
    cluster.quiet();
    tasks.run(END);
    let history = cluster.recorder().finish();
    cluster.end();
    Run {
        history,
        bounds: scenario.bounds(),
    }
}
