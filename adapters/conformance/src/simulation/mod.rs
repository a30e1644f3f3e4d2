//! Whole nodes on a bus with every kind of fault, in time that passes only when every task waits.
//!
//! A run is made from a seed: real [`Cluster`](midplane::Cluster)s with their drivers, connections that
//! come and go, sinks that misbehave, and random faults for 12 s, after which nothing goes wrong. The run ends with a
//! [`History`], which the oracle judges. Everything runs on one thread, and nothing waits for real time: a run takes
//! some milliseconds. [`protocol`] runs the protocol of the nodes alone.
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

/// The time in which faults are injected.
const FAULTY: Duration = Duration::from_secs(12);

/// When every workload comes to rest.
const QUIET: Duration = Duration::from_secs(18);

/// When everything that was lost is reported.
const END: Duration = Duration::from_secs(22);

/// What happened in a run, and what it is held to.
#[derive(Debug)]
pub struct Run {
    /// What happened.
    pub history: History,
    /// What it is held to.
    pub bounds: Bounds,
}

/// The run of this seed. Equal seeds give equal runs, but for the order of connections in a fan-out, which is that of
/// their addresses.
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
