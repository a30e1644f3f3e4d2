//! C4 accounted: no event is lost without a report.

use std::collections::HashMap;
use std::time::Duration;

use midplane::envelope::NodeId;

use super::attachment::AttachmentSpan;
use super::check::Check;
use super::context::Context;
use super::node::{Deaf, NodeTimeline};
use super::point::Point;
use super::publish::PublishRecord;
use crate::history::fact::{AttachmentId, name};
use crate::history::tag::EventTag;

pub(super) fn judge(context: &mut Context<'_>) {
    let index = context.index;
    let mut tags: Vec<_> = index.events.keys().copied().collect();
    tags.sort_unstable();
    // By closed node, how many of its events were lost unsent: its close's report accounts for that many.
    let mut unsent = HashMap::<NodeId, usize>::new();
    for tag in tags {
        let publish = &index.events[&tag];
        let missing = missing(context, tag, publish);
        if missing.is_empty() {
            continue;
        }
        let timeline = index.nodes.get(&publish.node);
        if let Some(reported) = timeline.and_then(|timeline| timeline.unsent)
            && publish.sent.is_none()
        {
            let count = unsent.entry(publish.node).or_default();
            *count += 1;
            if *count <= reported {
                continue;
            }
        }
        let sent = match publish.sent {
            Some((number, point)) => format!("sent as {number} at {:?}", point.at),
            None => "not sent".to_owned(),
        };
        for (attachment, why) in missing {
            let what = format!(
                "{} did not get event {tag} of {} (lane {}, {sent}), was in its audience throughout, {why}",
                index.attachments[&attachment].name(),
                name(publish.node),
                publish.lane
            );
            context.report(Check::Accounted, Some(tag), what);
        }
    }
}

/// The attachments of every node that had to get the event and did not.
fn missing(
    context: &Context<'_>,
    tag: EventTag,
    publish: &PublishRecord<'_>,
) -> Vec<(AttachmentId, &'static str)> {
    let mut missing = Vec::new();
    for (node, timeline) in &context.index.nodes {
        let (until, why) = if *node == publish.node {
            match publish.returned {
                Some((returned, ..)) => (returned, "and is on its publisher's node"),
                None => continue,
            }
        } else if is_owed(context, tag, publish, timeline) {
            let until = end_of_flight(context, tag, publish, timeline);
            (until, "and its node reported no gap")
        } else {
            continue;
        };
        let missed = missed(context, *node, publish, until);
        missing.extend(missed.into_iter().map(|attachment| (attachment, why)));
    }
    missing
}

/// The attachments of a node that were in the audience from the call until then, and did not get the event.
fn missed(
    context: &Context<'_>,
    node: NodeId,
    publish: &PublishRecord<'_>,
    until: Point,
) -> Vec<AttachmentId> {
    let index = context.index;
    let mut missed = Vec::new();
    for target in publish.audience.targets() {
        let key = (node, publish.scope.clone(), target.clone());
        for attachment in index.ever_members.get(&key).into_iter().flatten() {
            let span = &index.attachments[attachment];
            if publish.audience.excluded().contains(&span.connection)
                || !was_member_throughout(context, span, publish, until)
                || missed.contains(attachment)
            {
                continue;
            }
            let mut deliveries = publish.deliveries.iter();
            if !deliveries.any(|position| index.deliveries[*position].attachment == *attachment) {
                missed.push(*attachment);
            }
        }
    }
    missed
}

fn was_member_throughout(
    context: &Context<'_>,
    span: &AttachmentSpan,
    publish: &PublishRecord<'_>,
    until: Point,
) -> bool {
    if span.maybe_gone.is_some_and(|gone| gone <= until) {
        return false;
    }
    let local = span.node == publish.node;
    let mut memberships = span.memberships.iter().enumerate();
    memberships.any(|(which, (target, membership))| {
        // With one lane every node can reach an attachment at once; with more that takes a subscription that
        // nobody awaits.
        let own = which == 0 && context.bounds.lanes == 1;
        let from = if local || own {
            membership.here
        } else {
            membership.everywhere
        };
        from.is_some_and(|from| from <= publish.called)
            && membership.leaving.is_none_or(|leaving| leaving > until)
            && publish.audience.targets().any(|named| named == target)
    })
}

/// The last moment at which the event may have arrived: when a later event of its lane did.
fn end_of_flight(
    context: &Context<'_>,
    tag: EventTag,
    publish: &PublishRecord<'_>,
    timeline: &NodeTimeline,
) -> Point {
    let later = match publish.sent {
        Some((number, _)) => timeline
            .by_number
            .get(&(publish.node, publish.lane))
            .and_then(|arrivals| arrivals.above(number)),
        None => timeline
            .by_publisher
            .get(&(tag.publisher, publish.lane))
            .and_then(|arrivals| arrivals.above(u64::from(tag.number))),
    };
    later.unwrap_or(context.index.end)
}

/// Whether the node has to deliver the event, having reported nothing that accounts for its loss.
fn is_owed(
    context: &Context<'_>,
    tag: EventTag,
    publish: &PublishRecord<'_>,
    timeline: &NodeTimeline,
) -> bool {
    let Context { index, bounds, .. } = context;
    let origin = index.nodes.get(&publish.node);
    let Some(origin) = origin.filter(|_| publish.is_queued()) else {
        return false;
    };
    // A crash takes what was not sent with it, and the heartbeat that would have reported what was lost.
    if origin.ended.is_some() && origin.unsent.is_none() {
        return false;
    }
    let (from, until) = match publish.sent {
        Some((_, sent)) => (sent, sent.at + bounds.delay),
        // An event that was given up used a number by the time the next one of its publisher was sent.
        None => (publish.called, next_sent(context, tag, publish)),
    };
    if timeline.first_live().is_none_or(|live| from <= live) {
        return false;
    }
    // A forged heartbeat can claim for any number that it was sent before the node was live.
    let lane = (publish.node, publish.lane);
    if context.is_impersonated(timeline, lane, from.at, until) {
        return false;
    }
    // A closed node sends no more heartbeats: its silence reports a lost tail.
    if origin.ended.is_some() && index.faults.overlap(from.at, until) {
        return false;
    }
    // A node that ended need not know what the next heartbeat that arrives would have reported.
    if let Some(end) = timeline.closing.or(timeline.ended)
        && !index.faults.leave(from.at, end.at, bounds.lookback())
    {
        return false;
    }
    let covers = |deaf: &Deaf| {
        deaf.origin.is_none_or(|origin| origin == publish.node)
            && deaf.since <= until
            && from.at <= deaf.until
    };
    let mut lagged = timeline.lagged.iter();
    let accounted = lies_in_gap(context, tag, publish, timeline)
        || timeline.deaf.iter().any(covers)
        || lagged.any(|lagged| *lagged > publish.called)
        || is_silent(context, publish.node, timeline, from.at, until);
    !accounted
}

fn lies_in_gap(
    context: &Context<'_>,
    tag: EventTag,
    publish: &PublishRecord<'_>,
    timeline: &NodeTimeline,
) -> bool {
    let mut gaps = timeline.gaps.iter().filter(|gap| {
        gap.origin == publish.node && gap.lane == publish.lane && gap.reported > publish.called
    });
    if let Some((number, _)) = publish.sent {
        return gaps.any(|gap| (gap.first..=gap.last).contains(&number));
    }
    if !context.index.is_tapped(publish.node) {
        return gaps.next().is_some();
    }
    // Its number lies between those of the events that its publisher published before and after it.
    let (before, after) = neighbours(context, tag, publish);
    let after = after.map_or(u64::MAX, |(number, _)| number);
    gaps.any(|gap| gap.first.max(before + 1) <= gap.last.min(after - 1))
}

/// The moment a later event of the same publisher and lane was first sent, or else the end.
fn next_sent(context: &Context<'_>, tag: EventTag, publish: &PublishRecord<'_>) -> Duration {
    let (_, after) = neighbours(context, tag, publish);
    after.map_or(context.index.end.at, |(_, point)| point.at)
}

/// The numbers nearest to an event that was not sent: those of the events that its publisher published on its
/// lane before and after it.
fn neighbours(
    context: &Context<'_>,
    tag: EventTag,
    publish: &PublishRecord<'_>,
) -> (u64, Option<(u64, Point)>) {
    let Some(sent) = context.index.sent.get(&(publish.node, publish.lane)) else {
        return (0, None);
    };
    let mut before = 0;
    let mut after = None;
    for (number, sending) in sent {
        let same = |other: &EventTag| other.publisher == tag.publisher;
        let Some(other) = sending.tag.filter(same) else {
            continue;
        };
        if other.number < tag.number {
            before = *number;
        } else if after.is_none() {
            after = Some((*number, sending.point));
        }
    }
    (before, after)
}

/// Whether the node reported that the origin is silent, at a time when the event was on its way.
fn is_silent(
    context: &Context<'_>,
    origin: NodeId,
    timeline: &NodeTimeline,
    from: Duration,
    until: Duration,
) -> bool {
    let silence = context.bounds.silence();
    let mut silences = timeline.silences.iter().filter(|(_, of)| *of == origin);
    silences.any(|(reported, _)| {
        let mut joined = timeline.joined.iter();
        let back = joined.find(|(back, of)| *of == origin && back > reported);
        let back = back.map_or(Duration::MAX, |(back, _)| back.at);
        reported.at.saturating_sub(silence) <= until && from <= back
    })
}
