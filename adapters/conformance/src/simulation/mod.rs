//! Whole clusters on a faulty bus, in virtual time: the clock advances only when all tasks wait.
//!
//! A run is made from a seed: real [`Cluster`](midplane::Cluster)s with their drivers, connections that
//! come and go, sinks that misbehave, random faults for 12 s, six more seconds of undisturbed publishing, and four of
//! quiet, by which every loss must be reported. The run ends with a
//! [`History`], which the oracle judges. Everything runs on one thread, and nothing waits for real time: a run takes
//! some milliseconds. [`protocol`] runs the protocol of the nodes alone.
//!
//! ```
//! use midplane_conformance::simulation::{Scenario, run};
//!
//! let outcome = run(7, Scenario::EVERYTHING);
//! outcome.history.assert_holds(&outcome.bounds); // panics with what is wrong
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

/// The simulated time until which faults are injected.
const FAULTS_UNTIL: Duration = Duration::from_secs(12);

/// The simulated time until which workloads publish.
const WORKLOADS_UNTIL: Duration = Duration::from_secs(18);

/// The simulated time by which everything that was lost is reported.
const REPORTED_BY: Duration = Duration::from_secs(22);

/// A simulated run: its recorded history, and the bounds that it is judged by.
#[derive(Debug)]
pub struct Run {
    /// The recorded history.
    pub history: History,
    /// The bounds of its scenario.
    pub bounds: Bounds,
}

/// Runs the scenario with this seed.
///
/// Equal seeds give equal runs but for the order in which a fan-out reaches connections, which is that of their memory
/// addresses.
///
/// # Panics
/// When a task wakes itself without end, and when a node panics.
#[must_use]
pub fn run(seed: u64, scenario: Scenario) -> Run {
    let cluster = SimulatedCluster::new(seed, scenario);
    let tasks = cluster.tasks().clone();
    tasks.spawn(NO_PROCESS, cluster.clone().break_until(FAULTS_UNTIL));
    tasks.run(WORKLOADS_UNTIL);
    cluster.quiet();
    tasks.run(REPORTED_BY);
    let history = cluster.recorder().finish();
    cluster.end();
    Run {
        history,
        bounds: scenario.bounds(),
    }
}
