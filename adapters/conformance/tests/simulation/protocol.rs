//! The node protocol alone, by kind of run.

use std::panic::catch_unwind;

use midplane_conformance::history::Exemptions;
use midplane_conformance::simulation::protocol::{RunKind, run};

use super::{seeds, summary};

/// Every seed is run, so that a long run names all that fail.
fn hold(kind: RunKind) {
    let (first, count) = seeds(12);
    let (mut exemptions, mut failed) = (Exemptions::default(), Vec::new());
    for seed in first..first + count {
        match catch_unwind(|| run(seed, kind).assert_holds()) {
            Ok(exempt) => exemptions += exempt,
            Err(_) => failed.push(seed),
        }
    }
    summary(kind, count, &exemptions);
    assert!(failed.is_empty(), "{kind:?} fails with seeds {failed:?}");
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
