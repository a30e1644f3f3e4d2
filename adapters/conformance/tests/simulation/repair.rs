//! The node protocol alone, by kind of run: what is promised of each kind holds for every seed.

use midplane_conformance::simulation::repair::{RunKind, run};

use super::{summary, with_seeds};

fn hold(kind: RunKind) {
    let judged = |seed, kind| run(seed, kind).assert_holds();
    let (exemptions, runs) = with_seeds(kind, 50, judged);
    summary(kind, runs, &exemptions);
}

#[test]
#[ignore = "the node does not repair yet"]
fn nothing_is_lost_within_the_window() {
    hold(RunKind::Gentle);
}

#[test]
#[ignore = "the node does not repair yet"]
fn what_is_lost_beyond_the_window_is_told() {
    hold(RunKind::Harsh);
}

#[test]
#[ignore = "the node does not repair yet"]
fn what_a_lossy_bus_loses_is_repaired_or_told() {
    hold(RunKind::Lossy);
}

#[test]
#[ignore = "the node does not repair yet"]
fn nothing_is_lost_three_heartbeats_after_a_forger() {
    hold(RunKind::Forged);
}
