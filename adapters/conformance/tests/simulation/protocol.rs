//! The node protocol alone, by kind of run.
//!
//! Within the window what is promised holds for every seed. Of the other kinds some seeds break a promise still: in a few runs
//! of a thousand a loss after a clock fault, or behind a forged number, passes for reported. How many may is bounded here, and
//! how many do is printed, with their seeds.

use std::panic::catch_unwind;

use midplane_conformance::history::Exemptions;
use midplane_conformance::simulation::protocol::{RunKind, run};

use super::{seeds, summary, with_seeds};

fn hold(kind: RunKind) {
    let judged = |seed, kind| run(seed, kind).assert_holds();
    let (exemptions, runs) = with_seeds(kind, 12, judged);
    summary(kind, runs, &exemptions);
}

/// Holds all but so many of a thousand runs.
#[expect(clippy::print_stderr, reason = "what is open is for people to see")]
fn hold_all_but(per_thousand: u64, kind: RunKind) {
    let (first, count) = seeds(12);
    let (mut exemptions, mut open) = (Exemptions::default(), Vec::new());
    for seed in first..first + count {
        match catch_unwind(|| run(seed, kind).assert_holds()) {
            Ok(exempt) => exemptions += exempt,
            Err(_) => open.push(seed),
        }
    }
    summary(kind, count, &exemptions);
    eprintln!(
        "{kind:?}: {} of {count} runs break a promise: {open:?}",
        open.len()
    );
    let most = count * per_thousand / 1_000;
    assert!(open.len() as u64 <= most, "{} runs, not {most}", open.len());
}

#[test]
fn nothing_is_lost_within_the_window() {
    hold(RunKind::Gentle);
}

#[test]
fn what_is_lost_beyond_the_window_is_told() {
    hold_all_but(1, RunKind::Harsh);
}

#[test]
fn what_a_lossy_bus_loses_is_repaired_or_told() {
    hold_all_but(1, RunKind::Lossy);
}

#[test]
fn nothing_is_lost_three_heartbeats_after_a_forger() {
    hold_all_but(1, RunKind::Forged);
}
