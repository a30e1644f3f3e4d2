//! What the tests, suites, simulations and benchmarks of midplane share.
//!
//! # Guarantees
//!
//! No test sleeps to let something happen: a wait ends with what it expects, or fails after [`PATIENCE`] and says
//! what was missing. A child process ends with its owner, and by the kernel should the test be killed. A missing
//! program is an error that names what to install.
//!
//! # Map
//!
//! Real time: [`wait`] is the one bound on every wait, [`executor`] what tests run on. [`lock`] outlives panics. Virtual time: [`clock`] passes
//! only when every task waits, [`tasks`] is an executor of one thread on it that repeats the run of a seed, [`local`] a
//! smaller one for tasks that are not [`Send`], and [`random`] the numbers of a seed. Processes:
//! [`child`] runs a program, [`process`] is what the system tells of one, [`server`] starts real brokers and
//! stores, [`proxy`] stands between one of these and its client, and [`error`] is what a client shows of a failure. With
//! the feature `certificates`, an authority signs some for servers that speak TLS.

#[cfg(feature = "certificates")]
pub mod certificates;
pub mod child;
pub mod clock;
pub mod error;
pub mod executor;
pub mod local;
pub mod lock;
pub mod process;
pub mod proxy;
pub mod random;
pub mod server;
pub mod tasks;
pub mod wait;

pub use random::Random;
pub use wait::{PATIENCE, eventually, patience, set_patience, succeeds, until, within};
