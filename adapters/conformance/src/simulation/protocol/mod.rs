//! The node protocol alone, in simulated time that moves in steps of 50 ms.
//!
//! A run is made from a seed: three [`Node`](midplane::node::Node)s as values over a bus that loses, repeats, delays
//! and reorders frames, stands still, cuts links and partitions nodes, while processes stall, crash and come back,
//! releases mix and frames are forged. Each node has one connection, in every topic, so that the oracle judges the
//! run like any other.
//!
//! ```
//! use midplane_conformance::simulation::protocol::{ProtocolFaults, run};
//!
//! let lossy = ProtocolFaults { lossy: true, ..ProtocolFaults::NONE };
//! run(7, lossy).assert_holds(); // panics with what is wrong
//! ```

mod checks;
mod faults;
pub(super) mod forger;
mod network;
mod process;

pub use checks::ProtocolRun;
pub use faults::ProtocolFaults;
pub use network::run;
