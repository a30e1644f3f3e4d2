//! The node protocol alone, by kind of run.

use midplane_conformance::simulation::protocol::{RunKind, run};

fn hold(kind: RunKind) {
    super::hold(kind, 12, |seed, kind| run(seed, kind).assert_holds());
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

#[test]
fn nothing_is_lost_where_members_do_not_receive_each_other_for_a_while() {
    hold(RunKind::Parted);
}
