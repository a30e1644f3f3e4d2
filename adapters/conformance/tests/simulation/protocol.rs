//! The node protocol alone, by kind of run: what is promised of each kind holds for every seed.

use midplane_conformance::simulation::protocol::{RunKind, run};

use super::{summary, with_seeds};

fn hold(kind: RunKind) {
    let judged = |seed, kind| run(seed, kind).assert_holds();
    let (exemptions, runs) = with_seeds(kind, 12, judged);
    summary(kind, runs, &exemptions);
}

#[test]
fn nothing_is_lost_within_the_window() {
    hold(RunKind::Gentle);
}

#[test]
fn what_is_lost_beyond_the_window_is_told() {
    hold(RunKind::Harsh);
}

#[test]
fn what_a_lossy_bus_loses_is_repaired_or_told() {
    hold(RunKind::Lossy);
}

#[test]
fn nothing_is_lost_three_heartbeats_after_a_forger() {
    hold(RunKind::Forged);
}
