//! The node protocol alone, in simulated time that jumps from one thing that happens to the next.
//!
//! A run is made from a seed: two to eight [`Node`](midplane::node::Node)s as values, their links and pipes to a broker
//! that is slow by up to 13 s, stands still, is away, loses and repeats frames, and processes that pause, are suspended
//! with their clock, crash, leave and start. Each node has a connection on most lanes, and stands in for the
//! registry: on a gap or a deafness it tells the connections that this concerns. So the oracle judges the run like any
//! other.
//!
//! ```no_run
//! use midplane_conformance::simulation::protocol::{RunKind, run};
//!
//! run(7, RunKind::Gentle).assert_holds(); // panics with what is wrong
//! ```

mod agenda;
mod broker;
mod checks;
mod forger;
mod kind;

mod member;
mod mishap;
mod plan;
mod slowness;
mod topics;
mod trouble;
mod world;

pub use checks::RepairRun;
pub use kind::RunKind;
pub use world::run;
