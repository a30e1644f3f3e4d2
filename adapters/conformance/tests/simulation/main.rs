//! The protocol, and whole nodes, in simulated time, judged by the oracle. Every run is made from a seed, which a
//! failure prints.
//!
//! ```text
//! cargo test -p midplane-conformance --test simulation                      a few seeds of each scenario
//! SIMULATION_SEED=7 cargo test -p midplane-conformance --test simulation    one seed again
//! SIMULATION_SEEDS=112000 cargo test --release -p midplane-conformance --test simulation protocol
//! ```
//!
//! The last is a million runs of the protocol: nine scenarios of 112,000 seeds each. With both variables, the seeds
//! begin at `SIMULATION_SEED` and are `SIMULATION_SEEDS` in number.

mod nodes;
mod protocol;

use std::fmt::Debug;
use std::panic::{RefUnwindSafe, catch_unwind};

/// Runs the scenario with each of `default` seeds, or with those that the environment names.
fn with_seeds<S: Debug + Copy + RefUnwindSafe>(scenario: S, default: u64, run: fn(u64, S)) {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let (first, count) = (number("SIMULATION_SEED"), number("SIMULATION_SEEDS"));
    let alone = first.map(|_| 1);
    let (first, count) = (first.unwrap_or(0), count.or(alone).unwrap_or(default));
    for seed in first..first + count {
        let outcome = catch_unwind(|| run(seed, scenario));
        assert!(
            outcome.is_ok(),
            "SIMULATION_SEED={seed} fails with {scenario:?}"
        );
    }
}
