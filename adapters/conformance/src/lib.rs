//! The promises of a bus as checks that any adapter can run, and the servers to run them on.
//!
//! An adapter says how to get at its bus by implementing [`BusFixture`](suite::BusFixture), and calls
//! [`bus_suite!`] once: that makes one test of each check on each executor.
//!
//! ```
//! use std::sync::Arc;
//!
//! use midplane::Memory;
//! use midplane::bus::Bus;
//! use midplane_conformance::suite::BusFixture;
//!
//! struct InProcess(Memory);
//!
//! impl BusFixture for InProcess {
//!     fn bus(&self) -> Arc<dyn Bus> {
//!         Arc::new(self.0.clone())
//!     }
//!     fn other_prefix(&self) -> Arc<dyn Bus> {
//!         Arc::new(Memory::new())
//!     }
//!     fn cut(&self) {
//!         self.0.block();
//!     }
//!     fn heal(&self) {
//!         self.0.unblock();
//!     }
//!     fn connections(&self) -> usize {
//!         self.0.links()
//!     }
//! }
//!
//! midplane_conformance::bus_suite!(|| InProcess(Memory::new()));
//! # fn main() {}
//! ```
//!
//! # Guarantees
//!
//! A check that cannot be run fails: a missing server is an error that names what to install. No check
//! sleeps to let something happen; each waits for what it expects, for [`PATIENCE`] at most. For each check
//! `mutants/table/bus-suite.toml` has a broken bus that the check catches.
//!
//! # Map
//!
//! [`suite`] is the checks of a bus. [`history`] is the oracle that judges what happened among nodes, and
//! [`simulation`] runs the protocol, and whole nodes, in virtual time for it. [`routing`] counts the frames that each node receives.
//! Servers, proxies, clocks and waits for tests are those of [`midplane_testkit`].

mod counted;
pub mod history;
pub mod routing;
pub mod simulation;
pub mod suite;

pub use counted::Counted;
pub use midplane_testkit::{PATIENCE, executor};
