//! The node protocol in simulated time over a bus that loses, repeats, delays and reorders frames, stands
//! still, cuts sessions and partitions nodes, while nodes stall, crash and come back, releases mix and
//! frames are forged. Every run is made from a seed, which a failure prints.
//!
//! ```text
//! cargo test -p midplane-core --test simulation                                a few seeds
//! SIMULATION_SEED=7 cargo test -p midplane-core --test simulation              one seed again
//! SIMULATION_SEEDS=112000 cargo test --release -p midplane-core --test simulation
//! ```
//!
//! The last is a million runs in nine scenarios of so many seeds each. With both variables, the seeds begin
//! with the one and are as many as the other says.

mod forger;
mod oracle;
mod world;

use std::panic::catch_unwind;

use world::{Faults, World};

fn seeds(default: u64) -> impl Iterator<Item = u64> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let (first, count) = match number("SIMULATION_SEED") {
        Some(seed) => (seed, number("SIMULATION_SEEDS").unwrap_or(1)),
        None => (0, number("SIMULATION_SEEDS").unwrap_or(default)),
    };
    first..first + count
}

fn run(faults: Faults, default: u64) {
    for seed in seeds(default) {
        let outcome = catch_unwind(|| oracle::judge(&World::run(seed, faults)));
        assert!(
            outcome.is_ok(),
            "SIMULATION_SEED={seed} fails with {faults:?}"
        );
    }
}

#[test]
fn a_perfect_bus_loses_nothing_and_reports_nothing() {
    run(Faults::default(), 50);
}

#[test]
fn what_a_lossy_bus_loses_lies_in_gaps() {
    run(
        Faults {
            lossy: true,
            ..Faults::default()
        },
        50,
    );
}

#[test]
fn what_is_lost_while_sessions_break_lies_in_gaps() {
    run(
        Faults {
            breaks: true,
            ..Faults::default()
        },
        50,
    );
}

#[test]
fn everything_at_once() {
    run(
        Faults {
            lossy: true,
            breaks: true,
            crashes: true,
            lanes: true,
            stalls: true,
            mixed: true,
            standstills: false,
            forged: false,
        },
        50,
    );
}

#[test]
fn forged_frames_mute_nobody() {
    run(
        Faults {
            forged: true,
            breaks: true,
            lanes: true,
            ..Faults::default()
        },
        50,
    );
}

#[test]
fn who_comes_knows_who_is_there() {
    run(
        Faults {
            crashes: true,
            ..Faults::default()
        },
        50,
    );
}

#[test]
fn a_bus_that_stood_still_delivers_nothing_stale() {
    run(
        Faults {
            standstills: true,
            ..Faults::default()
        },
        50,
    );
}

#[test]
fn releases_that_differ_by_one_share_a_bus() {
    run(
        Faults {
            mixed: true,
            ..Faults::default()
        },
        50,
    );
}

#[test]
fn who_was_stalled_delivers_nothing_stale() {
    run(
        Faults {
            stalls: true,
            ..Faults::default()
        },
        50,
    );
}
