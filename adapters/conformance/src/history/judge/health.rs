//! C7 heals, C8 bounded: the nodes themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use super::check::Check;
use super::context::Context;
use super::node::NodeTimeline;
use crate::history::fact::name;

pub(super) fn judge(context: &mut Context<'_>) {
    let index = context.index;
    for (what, value, cap) in &index.levels {
        if value > cap {
            let what = format!("{what}: {value}, at most {cap}");
            context.report(Check::Bounded, None, what);
        }
    }
    queues(context);
    let live_periods = index.faults.live_periods(context.bounds.heal, index.end.at);
    for (node, timeline) in &index.nodes {
        heals(context, &name(*node), timeline, &live_periods);
        notices(context, &name(*node), timeline);
    }
}

/// The bytes of the events that wait in a node, neither sent nor old enough to be given up, are bounded.
fn queues(context: &mut Context<'_>) {
    let Context { index, bounds, .. } = context;
    let mut changes = BTreeMap::<_, Vec<(Duration, i64)>>::new();
    for publish in index.events.values().filter(|publish| publish.is_queued()) {
        let Some((returned, ..)) = publish.returned else {
            continue;
        };
        // What would be too old on arrival may be given up sooner, by a quarter of its time to live at most.
        let (latest, soonest) = (bounds.time_to_live, bounds.time_to_live * 3 / 4);
        let until = match publish.sent {
            Some((_, sent)) => sent.at.min(returned.at + latest),
            None => returned.at + soonest,
        };
        // An event may be sent before its publish returns.
        if until > returned.at && index.is_tapped(publish.node) {
            let changes = changes.entry(publish.node).or_default();
            let bytes = i64::try_from(publish.bytes).unwrap_or(i64::MAX);
            changes.extend([(returned.at, bytes), (until, -bytes)]);
        }
    }
    let cap = i64::try_from(bounds.queue).unwrap_or(i64::MAX);
    for (node, mut changes) in changes {
        // What leaves at a moment makes room for what enters.
        changes.sort_unstable();
        let mut waiting = 0;
        let levels = changes.into_iter().map(|(at, change)| {
            waiting += change;
            (waiting, at)
        });
        if let Some((bytes, at)) = levels.max().filter(|(bytes, _)| *bytes > cap) {
            let what = format!(
                "{bytes} bytes wait in {} at {at:?}, at most {cap} may",
                name(node)
            );
            context.report(Check::Bounded, None, what);
        }
    }
}

/// Some time after the last fault the node is live, and stays so until the next one: but for the time in which a node that
/// died is known to be missing, and what was lost with it not yet reported. That is at the time to live after the last frame of
/// it came, of events too, which may be as late as the slowest; and four heartbeats, in which others come back after an outage.
fn heals(
    context: &mut Context<'_>,
    name: &str,
    timeline: &NodeTimeline,
    live_periods: &[(Duration, Duration)],
) {
    let (index, bounds) = (context.index, context.bounds);
    let ended = timeline.closing.or(timeline.ended);
    // A node that starts when nothing is wrong has as long.
    let healed = timeline.started + bounds.heal;
    for (due, until) in live_periods {
        let due = healed.max(*due);
        let until = ended.map_or(*until, |ended| ended.at.min(*until));
        let missed = |node, silent: Duration, now| {
            let ended = index.nodes.get(&node).and_then(|node| node.ended);
            let ended = ended.filter(|ended| ended.at <= now);
            let last = ended.map_or(silent, |ended| silent.max(ended.at + bounds.delay));
            last + bounds.time_to_live + bounds.heartbeat * 4
        };
        if let Some((from, to)) = timeline.first_alone(due, until, missed) {
            let what = format!(
                "{name} is not live from {from:?} to {to:?}, though no fault is left and it had {:?} to heal",
                bounds.heal
            );
            context.report(Check::Heals, None, what);
        }
    }
}

/// A node that cannot hear the bus reports in time that it is not live.
fn notices(context: &mut Context<'_>, name: &str, timeline: &NodeTimeline) {
    let Context { index, bounds, .. } = context;
    let mut live = Vec::new();
    for (begin, end) in &timeline.must_not_be_live {
        // A node that does not run notices nothing.
        let mut from = begin.at + bounds.notice;
        for (stalled, ran) in &index.faults.stalls {
            if stalled.at <= from && begin.at <= ran.at {
                from = from.max(ran.at + bounds.notice);
            }
        }
        let until = end.map_or(index.end.at, |point| point.at);
        let until = timeline.ended.map_or(until, |ended| ended.at.min(until));
        let found = timeline.first_time(true, from, until);
        live.extend(found.map(|(from, _)| (from, begin.at)));
    }
    for (from, since) in live {
        let what =
            format!("{name} is live at {from:?}, though it cannot hear the bus since {since:?}");
        context.report(Check::Heals, None, what);
    }
}
