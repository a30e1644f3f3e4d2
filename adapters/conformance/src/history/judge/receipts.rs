//! C9 truthful: receipts beside the sinks that were called.

use super::index::Shot;
use super::{Bench, Check};
use crate::history::{Outcome, Tally, name};

pub(super) fn judge(bench: &mut Bench<'_>) {
    let index = bench.index;
    for (mark, shot) in &index.events {
        let Some((returned, tally, _)) = shot.returned else {
            continue;
        };
        let called = count(bench, shot);
        if tally != called {
            let what = format!(
                "the receipt of event {mark} on {} says {tally}; until {:?} its sinks said {called}",
                name(shot.node),
                returned.at
            );
            bench.broken(Check::Truthful, Some(*mark), what);
        }
    }
}

/// What the sinks of the publisher's node said while the publish ran.
fn count(bench: &Bench<'_>, shot: &Shot<'_>) -> Tally {
    let mut tally = Tally::default();
    for which in &shot.deliveries {
        let delivery = bench.index.deliveries[*which];
        let here = bench.index.seats[&delivery.seat].node == shot.node;
        let meanwhile = shot
            .returned
            .is_some_and(|(returned, ..)| delivery.point < returned);
        if here && meanwhile {
            match delivery.outcome {
                Outcome::Accepted => tally.accepted += 1,
                Outcome::Full => tally.full += 1,
                Outcome::Closed => tally.closed += 1,
                Outcome::Panicked => tally.panicked += 1,
            }
        }
    }
    tally
}
