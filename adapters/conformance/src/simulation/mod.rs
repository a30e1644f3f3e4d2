//! Whole clusters on a faulty bus, in virtual time: the clock advances only when all tasks wait.
//!
//! A run is made from a seed: real [`Cluster`](midplane::Cluster)s with their drivers, connections that
//! come and go, sinks that misbehave, faults for 10 to 26 s that were drawn before, six more seconds of undisturbed
//! publishing, and as long in quiet as it may take until every loss is told. The run ends with a
//! [`History`], which the oracle judges. Everything runs on one thread, and nothing waits for real time: a run takes
//! some milliseconds. [`protocol`] runs the protocol of the nodes alone, and [`many`] hundreds of nodes at once.
//!
//! ```
//! use midplane_conformance::simulation::{Scenario, run};
//!
//! run(7, Scenario::BREAKING_LINKS).assert_holds(); // panics with what is wrong
//! ```

mod bus;
mod cluster;
mod lanes;
pub mod many;
mod newer;
mod plan;
pub mod protocol;
mod scenario;
mod workload;

pub use scenario::{Fault, Scenario};

use crate::history::{Bounds, Exemptions, History, judge};
use cluster::{NO_PROCESS, SimulatedCluster};
use midplane_testkit::random::Random;
use plan::FaultPlan;

/// A simulated run: its recorded history, and the bounds that it is judged by.
#[derive(Debug)]
pub struct Run {
    /// The recorded history.
    pub history: History,
    /// The bounds of what was drawn.
    pub bounds: Bounds,
    plan: FaultPlan,
}

impl Run {
    /// Judges the run, and returns what is exempt.
    ///
    /// # Panics
    /// When a promise is broken; what was drawn is printed then.
    #[expect(clippy::print_stderr, reason = "a failure is for people to see")]
    pub fn assert_holds(&self) -> Exemptions {
        let judgement = judge(&self.history, &self.bounds);
        if judgement.violations.is_empty() {
            return judgement.exemptions;
        }
        eprintln!("{:#?}", self.plan);
        self.history.assert_holds(&self.bounds)
    }
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
    let mut random = Random::new(seed);
    let plan = FaultPlan::draw(&mut random, scenario, seed % 2 == 1);
    let cluster = SimulatedCluster::new(random, scenario, &plan);
    let tasks = cluster.tasks().clone();
    let faults = cluster.clone().inject_all(plan.faults.clone());
    tasks.spawn(NO_PROCESS, faults);
    tasks.run(plan.quiet);
    cluster.quiet();
    tasks.run(plan.end());
    let history = cluster.recorder().finish();
    cluster.end();
    Run {
        history,
        bounds: plan.bounds(),
        plan,
    }
}
