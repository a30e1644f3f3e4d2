//! Whole nodes in simulated time, judged by the oracle. Every run is made from a seed, which a failure
//! prints: `SIMULATION_SEED=n cargo test -p midplane-conformance --test simulation` replays it.
//! `SIMULATION_SEEDS=n` says how many runs each scenario has.

use std::panic::catch_unwind;

use midplane_conformance::simulation::{Scenario, run};

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(default),
    }
}

fn hold(scenario: Scenario, default: u64) {
    for seed in seeds(default) {
        let outcome = catch_unwind(|| {
            let run = run(seed, scenario);
            run.history.assert_holds(&run.bounds);
        });
        assert!(
            outcome.is_ok(),
            "SIMULATION_SEED={seed} fails with {scenario:?}"
        );
    }
}

#[test]
fn nothing_is_lost_or_reported_where_nothing_is_wrong() {
    hold(Scenario::FINE, 20);
}

#[test]
fn nothing_is_lost_or_reported_whatever_sinks_do() {
    hold(Scenario::UNRULY, 30);
}

#[test]
fn what_a_lossy_bus_loses_lies_in_gaps() {
    hold(Scenario::LOSSY, 40);
}

#[test]
fn what_is_lost_while_everything_breaks_lies_in_gaps() {
    hold(Scenario::BREAKING, 50);
}

#[test]
fn clocks_that_stand_or_leap_lose_nothing_without_a_word() {
    hold(Scenario::TIMELESS, 20);
}

#[test]
fn everything_at_once() {
    hold(Scenario::EVERYTHING, 50);
}

#[test]
fn everything_at_once_on_lanes() {
    hold(Scenario::EVERYTHING.with_lanes(4), 50);
}
