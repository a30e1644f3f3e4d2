//! The protocol, and whole nodes, in simulated time, judged by the oracle. Every run is made from a seed, which a
//! failure prints.
//!
//! ```text
//! cargo test -p midplane-conformance --test simulation                      a few seeds of each scenario
//! SIMULATION_SEED=7 cargo test -p midplane-conformance --test simulation    one seed again
//! SIMULATION_SEEDS=250000 cargo test --release -p midplane-conformance --test simulation protocol
//! SIMULATION_NODES=1040 SIMULATION_CLUSTERS=300 cargo test --release -p midplane-conformance --test simulation many
//! ```
//!
//! With `SIMULATION_FAILURES=1` the first seed that fails ends a scenario; else all are run, so that a long run names every one.
//!
//! The third line is 1,250,000 runs of the protocol: five kinds of run with 250,000 seeds each. With both variables, the seeds
//! begin at `SIMULATION_SEED` and are `SIMULATION_SEEDS` in number. The last line is 1,040 nodes as values, of which each has
//! room for 1,024 others, and 300 whole nodes; without it they are 100 and 30.

mod many;
mod nodes;
mod protocol;

use std::fmt::Debug;
use std::panic::{RefUnwindSafe, catch_unwind};

use midplane_conformance::history::Exemptions;

/// Judges the runs of the scenario with each of `default` seeds, or with those that the environment names.
fn hold<S: Debug + Copy + RefUnwindSafe>(
    scenario: S,
    default: u64,
    judged: fn(u64, S) -> Exemptions,
) {
    let (first, count) = seeds(default);
    let most = number("SIMULATION_FAILURES").unwrap_or(count);
    let (mut exemptions, mut failed) = (Exemptions::default(), Vec::new());
    for seed in first..first + count {
        match catch_unwind(|| judged(seed, scenario)) {
            Ok(exempt) => exemptions += exempt,
            Err(_) => failed.push(seed),
        }
        if failed.len() as u64 == most {
            break;
        }
    }
    summary(scenario, count, &exemptions);
    assert!(
        failed.is_empty(),
        "{scenario:?} fails with SIMULATION_SEED={failed:?}"
    );
}

/// The first seed and how many there are: `default`, or what the environment names.
fn seeds(default: u64) -> (u64, u64) {
    let (first, count) = (number("SIMULATION_SEED"), number("SIMULATION_SEEDS"));
    let alone = first.map(|_| 1);
    (first.unwrap_or(0), count.or(alone).unwrap_or(default))
}

/// Prints what the runs of a scenario exempt.
#[expect(clippy::print_stderr, reason = "what is exempt is for people to see")]
fn summary(scenario: impl Debug, runs: u64, exemptions: &Exemptions) {
    eprintln!("{scenario:?}: {runs} runs, {exemptions}");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
