//! C7 heals, C8 bounded: the nodes themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use super::life::Life;
use super::{Bench, Check};
use crate::history::{Relayed, name};

pub(super) fn judge(bench: &mut Bench<'_>) {
    let index = bench.index;
    for (what, value, cap) in &index.levels {
        if value > cap {
            bench.broken(
                Check::Bounded,
                None,
                format!("{what}: {value}, at most {cap}"),
            );
        }
    }
    queues(bench);
    for (node, life) in &index.nodes {
        heals(bench, &name(*node), life);
        notices(bench, &name(*node), life);
    }
}

/// Of what a node took to be sent and neither sent nor can have given up, no more waits than may.
fn queues(bench: &mut Bench<'_>) {
    let Bench { index, terms, .. } = bench;
    let mut changes = BTreeMap::<_, Vec<(Duration, i64)>>::new();
    for shot in index.events.values() {
        let Some((returned, _, Relayed::Queued)) = shot.returned else {
            continue;
        };
        let given_up = returned.at + terms.time_to_live;
        let until = shot
            .sent
            .map_or(given_up, |(_, sent)| sent.at.min(given_up));
        // It may be sent before the publish returns.
        if until > returned.at && index.is_tapped(shot.node) {
            let changes = changes.entry(shot.node).or_default();
            let bytes = i64::try_from(shot.bytes).unwrap_or(i64::MAX);
            changes.extend([(returned.at, bytes), (until, -bytes)]);
        }
    }
    let cap = i64::try_from(terms.queue).unwrap_or(i64::MAX);
    for (node, mut changes) in changes {
        // What goes at a moment makes room for what comes.
        changes.sort_unstable();
        let mut waiting = 0;
        let mut highest = (0, Duration::ZERO);
        for (at, change) in changes {
            waiting += change;
            highest = highest.max((waiting, at));
        }
        if highest.0 > cap {
            let (bytes, at) = highest;
            let what = format!(
                "{bytes} bytes wait in {} at {at:?}, at most {cap} may",
                name(node)
            );
            bench.broken(Check::Bounded, None, what);
        }
    }
}

/// Some time after everything is healed the node is live, and stays so until something breaks.
fn heals(bench: &mut Bench<'_>, name: &str, life: &Life) {
    let broken = &bench.index.broken;
    let mut healthy: Vec<(Duration, Duration)> = broken
        .iter()
        .enumerate()
        .map(|(which, (_, healed))| {
            let next = broken.get(which + 1).map(|(begin, _)| begin.at);
            (healed.at, next.unwrap_or(bench.index.end.at))
        })
        .collect();
    if healthy.is_empty() {
        healthy.push((Duration::ZERO, bench.index.end.at));
    }
    let ended = life.closing.or(life.ended).map(|point| point.at);
    for (healed, until) in healthy {
        let until = ended.map_or(until, |ended| ended.min(until));
        // What was never healed need not heal.
        let due = healed.saturating_add(bench.terms.heal);
        if due > until {
            continue;
        }
        if let Some((from, to)) = dead(life, due, until) {
            let what = format!(
                "{name} is not live from {from:?} to {to:?}, though all was healed at {healed:?} and it had {:?}",
                bench.terms.heal
            );
            bench.broken(Check::Heals, None, what);
        }
    }
}

/// A node that is cut says so in time.
fn notices(bench: &mut Bench<'_>, name: &str, life: &Life) {
    for (cut, mended) in &life.cuts {
        // Who does not run notices nothing.
        let mut from = cut.at + bench.terms.notice;
        for (_, end) in &bench.index.stalls {
            if cut.at <= end.at && end.at <= from + bench.terms.notice {
                from = from.max(end.at + bench.terms.notice);
            }
        }
        let until = mended.map_or(bench.index.end.at, |point| point.at);
        let until = life.ended.map_or(until, |ended| ended.at.min(until));
        if from < until
            && let Some((from, _)) = live(life, from, until)
        {
            let what = format!(
                "{name} says at {from:?} that it is live, though it hears nothing since {:?}",
                cut.at
            );
            bench.broken(Check::Heals, None, what);
        }
    }
}

/// The first part of the time in which the node was not live.
fn dead(life: &Life, from: Duration, until: Duration) -> Option<(Duration, Duration)> {
    spells(life, false, from, until).next()
}

/// The first part of the time in which the node was live.
fn live(life: &Life, from: Duration, until: Duration) -> Option<(Duration, Duration)> {
    spells(life, true, from, until).next()
}

/// The spells in which the node's state was this one, within a time.
fn spells(
    life: &Life,
    wanted: bool,
    from: Duration,
    until: Duration,
) -> impl Iterator<Item = (Duration, Duration)> {
    let begin = std::iter::once((Duration::ZERO, false));
    let told = life.states.iter().map(|(point, live)| (point.at, *live));
    let ends = life.states.iter().map(|(point, _)| point.at);
    begin
        .chain(told)
        .zip(ends.chain([Duration::MAX]))
        .filter(move |((_, live), _)| *live == wanted)
        .map(move |((begin, _), end)| (begin.max(from), end.min(until)))
        .filter(|(begin, end)| begin < end)
}
