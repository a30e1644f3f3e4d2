//! C10 no wolf: what nodes say is missing, beside what may be.

use std::time::Duration;

use midplane::envelope::NodeId;

use super::index::Shot;
use super::life::{Deaf, Gap, Life};
use super::{Bench, Check};
use crate::history::{Relayed, name};

pub(super) fn judge(bench: &mut Bench<'_>) {
    let index = bench.index;
    let spells = spells(bench);
    for (node, life) in &index.nodes {
        for gap in &life.gaps {
            if let Some((why, mark)) = wolf(bench, *node, life, gap) {
                let Gap { first, last, .. } = gap;
                let what = format!(
                    "{} says at {:?} that {first}..={last} of {} on lane {} did not come, but {why}",
                    name(*node),
                    gap.told.at,
                    name(gap.origin),
                    gap.lane
                );
                bench.broken(Check::NoWolf, mark, what);
            }
        }
        for deaf in &life.deafs {
            if let Some(why) = not_deaf(bench, &spells, life, deaf) {
                let what = format!(
                    "{} says at {:?} that it was deaf from {:?} to {:?}, but {why}",
                    name(*node),
                    deaf.told.at,
                    deaf.since,
                    deaf.until
                );
                bench.broken(Check::NoWolf, None, what);
            }
        }
    }
}

/// Why the gap claims too much, if it does, and with regard to which event.
fn wolf(
    bench: &Bench<'_>,
    node: NodeId,
    life: &Life,
    gap: &Gap,
) -> Option<(String, Option<crate::history::Mark>)> {
    let Gap { first, last, .. } = *gap;
    if gap.origin == node {
        return Some(("its own come by no bus".to_owned(), None));
    }
    if first > last {
        return Some(("that is no run of numbers".to_owned(), None));
    }
    if !bench.index.is_tapped(gap.origin) {
        let told = gap.told.at;
        return (!may_be_lost(bench, life, told.saturating_sub(bench.terms.reach()), told))
            .then(|| ("nothing was wrong then".to_owned(), None));
    }
    let line = (gap.origin, gap.lane);
    let heard = life.heard.get(&line);
    let heard = heard.and_then(|heard| heard.any_of(first, last));
    if let Some((number, point)) = heard {
        let sent = bench.index.sent.get(&line);
        let mark = sent.and_then(|sent| sent.get(&number)?.mark);
        return Some((format!("{number} came at {:?}", point.at), mark));
    }
    let sent = bench.index.sent.get(&line);
    let mut used = 0;
    for (number, sending) in sent.into_iter().flat_map(|sent| sent.range(first..=last)) {
        if sending.point > gap.told {
            return Some((format!("{number} was sent later"), sending.mark));
        }
        used += 1;
        let frames = life.frames.get(&line);
        if frames.is_some_and(|frames| frames.contains(&sending.frame)) {
            let why = format!("{number} came with others of its frame");
            return Some((why, sending.mark));
        }
        let at = sending.point.at;
        if !may_be_lost(bench, life, at, at) {
            let why = format!("nothing was wrong when {number} was sent, at {at:?}");
            return Some((why, sending.mark));
        }
    }
    if last - first < used {
        return None;
    }
    // Numbers that were used and not sent belong to events that were given up.
    let unsent = bench
        .index
        .events
        .values()
        .filter(|shot| given_up(shot, gap));
    let unsent = unsent.count() as u64;
    (last - first >= used + unsent).then(|| {
        let why = format!("of these only {used} were sent and {unsent} given up");
        (why, None)
    })
}

/// Whether the event may have used a number of the gap without being sent.
fn given_up(shot: &Shot<'_>, gap: &Gap) -> bool {
    shot.node == gap.origin
        && shot.lane == gap.lane
        && shot.sent.is_none()
        && shot.called < gap.told
        && shot
            .returned
            .is_none_or(|(.., relay)| relay == Relayed::Queued)
}

/// Whether what was sent in this time may be lost for the node: something was wrong, or it had just come
/// or joined.
fn may_be_lost(bench: &Bench<'_>, life: &Life, from: Duration, until: Duration) -> bool {
    let Bench { index, terms, .. } = bench;
    let reach = terms.reach();
    let soon = until + reach;
    if index.is_broken(from.saturating_sub(terms.heal), soon) {
        return true;
    }
    let first_live = life.first_live();
    if first_live.is_none_or(|live| from <= live.at && live.at <= soon) {
        return true;
    }
    let mut joins = life.joins.iter();
    terms.lanes > 1 && joins.any(|join| from <= join.at + terms.heal && join.at <= soon)
}

/// The times in which a node may hear nothing. Who has not healed of one fault when the next begins, which is
/// nothing that C7 holds against it, may be deaf through both.
fn spells(bench: &Bench<'_>) -> Vec<(Duration, Duration)> {
    let Bench { index, terms, .. } = bench;
    let mut spells: Vec<(Duration, Duration)> = Vec::new();
    for (begin, healed) in &index.broken {
        let until = healed.at.saturating_add(terms.heal);
        match spells.last_mut() {
            Some((_, last)) if begin.at < *last => *last = until.max(*last),
            _ => spells.push((begin.at.saturating_sub(terms.reach()), until)),
        }
    }
    spells
}

/// Why the node was not deaf throughout, if it was not.
fn not_deaf(
    bench: &Bench<'_>,
    spells: &[(Duration, Duration)],
    life: &Life,
    deaf: &Deaf,
) -> Option<String> {
    let Deaf { since, until, .. } = *deaf;
    if since > until {
        return Some("that is no time".to_owned());
    }
    // Clocks of nodes are as fine as the wire's.
    if until > deaf.told.at + Duration::from_millis(1) {
        return Some("that is not over".to_owned());
    }
    let mut spells = spells.iter();
    let covers = spells.any(|(begin, end)| *begin <= since && until <= *end);
    let joining = deaf.origin.is_some()
        && life
            .first_live()
            .is_none_or(|live| until <= live.at + bench.terms.reach());
    (!covers && !joining).then(|| "nothing was wrong for so long".to_owned())
}
