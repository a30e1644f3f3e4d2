//! What a node reported of a lost event, and what a connection was told of it.

use std::time::Duration;

use super::attachment::AttachmentSpan;
use super::context::Context;
use super::node::{Deaf, NodeTimeline};
use super::point::Point;
use super::publish::PublishRecord;
use crate::history::tag::EventTag;

/// When the event was on its way, or waited to be: from the sending, or from the publish if it was not sent.
pub(super) fn flight(
    context: &Context<'_>,
    tag: EventTag,
    publish: &PublishRecord<'_>,
) -> (Duration, Duration) {
    match publish.sent {
        Some((_, sent)) => (sent.at, sent.at + context.bounds.delay),
        // An event that was given up used a number by the time the next one of its publisher was sent.
        None => (publish.called.at, next_sent(context, tag, publish)),
    }
}

/// Whether the node reported something that accounts for the loss.
pub(super) fn is_reported(
    context: &Context<'_>,
    tag: EventTag,
    publish: &PublishRecord<'_>,
    timeline: &NodeTimeline,
) -> bool {
    let bounds = context.bounds;
    let (_, until) = flight(context, tag, publish);
    if lies_in_gap(context, tag, publish, timeline) {
        return true;
    }
    // Deafness names when an event was published, which is from the call until it was sent, or never.
    let sent = publish.sent.map_or(until, |(_, sent)| sent.at);
    let covers = |deaf: &Deaf| {
        deaf.origin.is_none_or(|origin| origin == publish.node)
            && deaf.lane.is_none_or(|lane| lane == publish.lane)
            && deaf.since <= sent + bounds.clock
            && publish.called.at <= deaf.until + bounds.clock
    };
    timeline.deaf.iter().any(covers)
}

/// Whether the attachment was told something that covers the event. It fetches everything anew that was published
/// before it is told, so that any telling covers what was published before.
pub(super) fn is_told(span: &AttachmentSpan, publish: &PublishRecord<'_>) -> bool {
    let mut missed = span.missed.iter();
    missed.any(|missed| missed.told > publish.called && missed.names(publish.lane))
}

/// Whether the attachment was told something that covers an event of the lane which was published at this moment.
pub(super) fn is_told_since(span: &AttachmentSpan, lane: u32, at: Duration) -> bool {
    let mut missed = span.missed.iter();
    missed.any(|missed| missed.told.at > at && missed.names(lane))
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

/// The moment a later event of the same publisher and lane was first sent, or else the end of its origin or of the
/// history.
fn next_sent(context: &Context<'_>, tag: EventTag, publish: &PublishRecord<'_>) -> Duration {
    let (_, after) = neighbours(context, tag, publish);
    let index = context.index;
    let origin = index.nodes.get(&publish.node);
    let ended = origin.and_then(|origin| origin.ended);
    let last = ended.unwrap_or(index.end);
    after.map_or(last.at, |(_, point)| point.at)
}

/// The numbers nearest to an event that was not sent: those of the events that its publisher published on its
/// lane before and after it.
fn neighbours(
    context: &Context<'_>,
    tag: EventTag,
    publish: &PublishRecord<'_>,
) -> (u64, Option<(u64, Point)>) {
    let sent = &context.index.sent_by_publisher;
    let Some(sent) = sent.get(&(tag.publisher, publish.lane)) else {
        return (0, None);
    };
    let before = sent.range(..tag.number).next_back();
    let after = sent.range(tag.number..).next();
    (
        before.map_or(0, |(_, (number, _))| *number),
        after.map(|(_, after)| *after),
    )
}
