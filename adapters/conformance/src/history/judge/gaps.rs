//! C10 no false gap: what nodes report as missing, beside what may have been lost.

use std::time::Duration;

use midplane::envelope::NodeId;
use midplane::{LaneMap, Scope};

use super::bounds::Bounds;
use super::check::Check;
use super::context::Context;
use super::exempt::Exemption;
use super::node::{Deaf, Gap, NodeTimeline};
use super::publish::{PublishRecord, Sending};
use crate::history::fact::{Relayed, name};
use crate::history::tag::EventTag;

pub(super) fn judge(context: &mut Context<'_>) {
    let index = context.index;
    let deaf_periods = index.faults.deaf_periods(context.bounds);
    for (node, timeline) in &index.nodes {
        for gap in &timeline.gaps {
            let found = match could_be_had(context, gap) {
                Some(tag) => Some((Check::Whole, "they could have been had".to_owned(), tag)),
                None => false_gap(context, *node, timeline, gap)
                    .map(|(why, tag)| (Check::NoFalseGap, why, tag)),
            };
            let Some((check, why, tag)) = found else {
                continue;
            };
            // A forged number may cost a gap of any length, until the heartbeats of the origin refute the number.
            let (lane, reported) = ((gap.origin, gap.lane), gap.reported.at);
            if check == Check::NoFalseGap
                && context.is_impersonated(timeline, lane, reported, reported)
            {
                context.exemptions.add(Exemption::ForgedReport);
                continue;
            }
            let Gap { first, last, .. } = gap;
            let what = format!(
                "{} reports at {reported:?} that {first}..={last} of {} on lane {} did not arrive, but {why}",
                name(*node),
                name(gap.origin),
                gap.lane
            );
            context.report(check, tag, what);
        }
        for deaf in &timeline.deaf {
            let whole = context.bounds.whole.is_some_and(|from| from <= deaf.since);
            let found = match whole {
                true => Some((Check::Whole, "nothing was to be lost")),
                false => not_deaf(context, &deaf_periods, timeline, deaf)
                    .map(|why| (Check::NoFalseGap, why)),
            };
            let Some((check, why)) = found else { continue };
            if check == Check::NoFalseGap && is_forged(context, timeline, deaf) {
                context.exemptions.add(Exemption::ForgedReport);
                continue;
            }
            let what = format!(
                "{} reports at {:?} that it was deaf to {} on lane {:?} from {:?} to {:?}, but {why}",
                name(*node),
                deaf.reported.at,
                deaf.origin.map_or_else(|| "all".to_owned(), name),
                deaf.lane,
                deaf.since,
                deaf.until
            );
            context.report(check, None, what);
        }
    }
}

/// Whether a forged frame may have led to the report: a forged time may date what is missing at any moment, and one who
/// exists in forged frames alone is silent soon.
fn is_forged(context: &Context<'_>, timeline: &NodeTimeline, deaf: &Deaf) -> bool {
    let Bounds { time_to_live, .. } = *context.bounds;
    let reported = deaf.reported.at;
    let silent = reported.saturating_sub(time_to_live + context.bounds.lookback());
    let mut lanes = timeline.impersonated.keys();
    lanes.any(|lane| {
        deaf.origin == Some(lane.0) && context.is_impersonated(timeline, *lane, silent, reported)
    })
}

/// Whether the gap gives up what was not to be lost, and an event of it if one is known.
fn could_be_had(context: &Context<'_>, gap: &Gap) -> Option<Option<EventTag>> {
    let from = context.bounds.whole?;
    let sent = context.index.sent.get(&(gap.origin, gap.lane));
    let mut sent = sent.into_iter().flatten();
    let found = sent.find(|(number, sending)| {
        let tag = sending.tag.and_then(|tag| context.index.events.get(&tag));
        // What was sent after the report is another event under a number that was forged.
        (gap.first..=gap.last).contains(number)
            && sending.point < gap.reported
            && tag.is_some_and(|publish| from <= publish.called.at)
    });
    match found {
        Some((_, sending)) => Some(sending.tag),
        None => (from == Duration::ZERO).then_some(None),
    }
}

/// Why the gap claims too much, if it does, and the event that shows it.
fn false_gap(
    context: &Context<'_>,
    node: NodeId,
    timeline: &NodeTimeline,
    gap: &Gap,
) -> Option<(String, Option<EventTag>)> {
    let Gap { first, last, .. } = *gap;
    if gap.origin == node {
        return Some((
            "a node does not get its own events by the bus".to_owned(),
            None,
        ));
    }
    if first > last {
        return Some(("that is no range of numbers".to_owned(), None));
    }
    let Context { index, bounds, .. } = context;
    let (lane, reported) = ((gap.origin, gap.lane), gap.reported.at);
    if !index.is_tapped(gap.origin) {
        let from = reported.saturating_sub(bounds.lookback());
        return (!may_be_lost(context, timeline, from, reported))
            .then(|| ("nothing was wrong then".to_owned(), None));
    }
    let sent = index.sent.get(&lane);
    let arrivals = timeline.by_number.get(&lane);
    if let Some((number, point)) = arrivals.and_then(|arrivals| arrivals.any_of(first, last)) {
        let tag = sent.and_then(|sent| sent.get(&number)?.tag);
        return Some((format!("{number} arrived at {:?}", point.at), tag));
    }
    let frames = timeline.frames.get(&lane);
    let oldest = oldest(context, node, gap.lane);
    let mut used = 0;
    for (number, sending) in sent.into_iter().flat_map(|sent| sent.range(first..=last)) {
        let at = sending.point.at;
        used += 1;
        let why = if sending.point > gap.reported {
            format!("{number} was sent later")
        } else if frames.is_some_and(|frames| frames.contains(&sending.frame)) {
            format!("{number} arrived with others of its frame")
        } else if at < oldest {
            format!("{number} was sent at {at:?}, long before anyone here was owed it")
        } else if let Some(published) = published_elsewhen(context, timeline, gap, sending) {
            format!("{number} was published at {published:?}, not in the time it names")
        } else if !may_be_lost(context, timeline, at, at) {
            format!("nothing was wrong when {number} was sent, at {at:?}")
        } else {
            continue;
        };
        return Some((why, sending.tag));
    }
    // Numbers that were used and not sent belong to events that were given up.
    let events = index.events.values();
    let unsent = events.filter(|publish| given_up(publish, gap)).count() as u64;
    (last - first >= used + unsent).then(|| {
        let why = format!("of these only {used} were sent and {unsent} given up");
        (why, None)
    })
}

/// From when on a gap may name what was sent on the lane.
fn oldest(context: &Context<'_>, node: NodeId, lane: u32) -> Duration {
    let Context { index, bounds, .. } = context;
    let lanes = LaneMap::new(bounds.lanes);
    let spans = index.attachments.values().filter(|span| span.node == node);
    let memberships = spans.flat_map(|span| &span.memberships);
    // Every node receives lane 0 from its first link on.
    if lane == 0 {
        let started = index.nodes.get(&node).map(|node| node.started);
        return started
            .unwrap_or_default()
            .saturating_sub(bounds.lookback());
    }
    let concerned = memberships
        .filter(|(target, _)| lanes.lane(&Scope::default(), &target.clone().into()).0 == lane);
    let since = concerned.map(|(_, membership)| membership.from.at).min();
    since.map_or(Duration::ZERO, |at| at.saturating_sub(bounds.lookback()))
}

/// When the event was published, if that is not in the time that the gap names.
fn published_elsewhen(
    context: &Context<'_>,
    timeline: &NodeTimeline,
    gap: &Gap,
    sending: &Sending,
) -> Option<Duration> {
    let (mut since, until) = gap.published?;
    // A node's clock shows nothing of the time before it started.
    if since <= timeline.started {
        since = Duration::ZERO;
    }
    let published = context.index.events.get(&sending.tag?)?.called.at;
    let clock = context.bounds.clock;
    let named = since.saturating_sub(clock)..=until + clock;
    (!named.contains(&published)).then_some(published)
}

/// Whether the event may have used a number of the gap without being sent.
fn given_up(publish: &PublishRecord<'_>, gap: &Gap) -> bool {
    publish.node == gap.origin
        && publish.lane == gap.lane
        && publish.sent.is_none()
        && publish.called < gap.reported
        && publish
            .returned
            .is_none_or(|(.., relay)| relay == Relayed::Queued)
}

/// Whether a message sent in this time may be lost for the node: something was wrong, or the node or one of its
/// connections had just joined.
fn may_be_lost(
    context: &Context<'_>,
    timeline: &NodeTimeline,
    from: Duration,
    until: Duration,
) -> bool {
    let Context { index, bounds, .. } = context;
    let soon = until + bounds.lookback();
    let since = from.saturating_sub(bounds.heal);
    if index.faults.overlap(since, soon) {
        return true;
    }
    let first_live = timeline.first_live();
    if first_live.is_none_or(|live| from <= live.at && live.at <= soon) {
        return true;
    }
    let soon_after_end = bounds.time_to_live + bounds.lookback();
    let mut ended = index.nodes.values().filter_map(|node| node.ended);
    ended.any(|ended| from <= ended.at && ended.at <= until + soon_after_end)
}

/// Why the node was not deaf throughout, if it was not.
fn not_deaf(
    context: &Context<'_>,
    deaf_periods: &[(Duration, Duration)],
    timeline: &NodeTimeline,
    deaf: &Deaf,
) -> Option<&'static str> {
    let Deaf { since, until, .. } = *deaf;
    if since > until {
        return Some("that is no time");
    }
    // The clocks of nodes are as fine as those of the wire.
    if until > deaf.reported.at + Duration::from_millis(1) {
        return Some("that is not over");
    }
    let mut periods = deaf_periods.iter();
    let covers = periods.any(|(begin, end)| *begin <= since && until <= *end);
    let joining = deaf.origin.is_some()
        && timeline
            .first_live()
            .is_none_or(|live| until <= live.at + context.bounds.lookback());
    let silent = deaf.origin.and_then(|origin| {
        let ended = context.index.nodes.get(&origin)?.ended?;
        // A node whose clock stood names as heard lately whom nobody heard any more.
        let mut nodes = context.index.nodes.values();
        let faults = nodes.any(|node| node.clock_stood.iter().any(|(_, until)| ended.at <= *until));
        let since = since.saturating_sub(context.bounds.lookback());
        Some((faults || since <= ended.at) && ended.at <= until)
    });
    (!covers && !joining && silent != Some(true)).then_some("nothing was wrong for that long")
}
