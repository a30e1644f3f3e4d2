//! Whole nodes on a bus with every fault there is, in time that passes only when everyone waits.
//!
//! A run is made from a seed: real [`Cluster`](midplane::Cluster)s with their drivers, connections that
//! come and go, sinks of every manner, and faults at random until a moment after which all is well. It ends
//! with a [`History`], which the oracle judges. Nothing runs beside the one thread, and nothing waits for
//! real time: a run takes some milliseconds.
//!
//! ```
//! use midplane_conformance::simulation::{Scenario, run};
//!
//! let run = run(7, Scenario::EVERYTHING);
//! run.history.hold(&run.terms); // panics with what is wrong
//! ```

mod bus;
mod crowd;
mod scenario;
mod world;

use std::time::Duration;

pub use scenario::{Fault, Scenario};

use crate::history::{History, Terms};
use world::{NOBODY, World};

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
    pub terms: Terms,
}

/// The run of this seed. The same seed gives the same run, as far as the order of connections in a fan-out
/// allows: it is that of their addresses.
///
/// # Panics
/// When tasks spin, and when a node panics.
#[must_use]
pub fn run(seed: u64, scenario: Scenario) -> Run {
    let world = World::new(seed, scenario);
    let tasks = world.tasks().clone();
    tasks.spawn(NOBODY, world.clone().break_until(FAULTY));
    tasks.run(QUIET);
    world.quiet();
    tasks.run(END);
    let history = world.recorder().finish();
    world.end();
    Run {
        history,
        terms: scenario.terms(),
    }
}
