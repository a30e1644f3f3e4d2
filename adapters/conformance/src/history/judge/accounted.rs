//! C4 accounted, C11 whole, C12 told: what became of the events that did not arrive.

use std::time::Duration;

use midplane::envelope::NodeId;

use super::attachment::AttachmentSpan;
use super::bounds::Accounting;
use super::check::Check;
use super::context::Context;
use super::excused::{UnsentEvents, excuse};
use super::exempt::Exemption;
use super::node::NodeTimeline;
use super::point::Point;
use super::publish::PublishRecord;
use super::reported::{flight, is_reported, is_told, is_told_since};
use crate::history::fact::{AttachmentId, name};
use crate::history::tag::EventTag;

pub(super) fn judge(context: &mut Context<'_>) {
    let index = context.index;
    let mut tags: Vec<_> = index.events.keys().copied().collect();
    tags.sort_unstable();
    let unsent = UnsentEvents::new(context);
    for tag in tags {
        let publish = &index.events[&tag];
        let reported = unsent.account_for(tag);
        for (node, timeline) in &index.nodes {
            if *node == publish.node {
                judge_local(context, tag, publish);
                continue;
            }
            if !publish.is_queued() {
                continue;
            }
            let until = end_of_flight(context, tag, publish, timeline);
            let missed = missed(context, *node, publish, until);
            if missed.is_empty() {
                continue;
            }
            let excuse = match reported {
                true => Some(Exemption::Unsent),
                false => excuse(context, publish, timeline, flight(context, tag, publish)),
            };
            if let Some(excuse) = excuse {
                missed.iter().for_each(|_| context.exemptions.add(excuse));
            } else {
                judge_remote(context, tag, publish, timeline, &missed);
            }
        }
    }
}

/// On the publisher's own node every member gets the event before the publish returns.
fn judge_local(context: &mut Context<'_>, tag: EventTag, publish: &PublishRecord<'_>) {
    let Some((returned, ..)) = publish.returned else {
        return;
    };
    for attachment in missed(context, publish.node, publish, returned) {
        let why = "and is on its publisher's node";
        report(context, Check::Accounted, tag, publish, attachment, why);
    }
}

/// Judges that these attachments of another node were owed the event and did not get it.
fn judge_remote(
    context: &mut Context<'_>,
    tag: EventTag,
    publish: &PublishRecord<'_>,
    timeline: &NodeTimeline,
    missed: &[AttachmentId],
) {
    let reported = is_reported(context, tag, publish, timeline);
    for attachment in missed {
        let span = &context.index.attachments[attachment];
        let told = is_told(span, publish);
        if !told && is_dated_before(context, span, publish) {
            context.exemptions.add(Exemption::ClockStood);
            continue;
        }
        let (check, why) = match (context.bounds.accounting, reported, told) {
            (Accounting::Exact, false, _) => (Check::Accounted, "and its node reported no gap"),
            (_, _, false) => (Check::Told, "and was not told"),
            _ if context
                .bounds
                .whole
                .is_some_and(|from| from <= publish.called.at) =>
            {
                (
                    Check::Whole,
                    "and is told, but the event could have been had again",
                )
            }
            _ => {
                context.exemptions.told += 1;
                continue;
            }
        };
        report(context, check, tag, publish, *attachment, why);
    }
}

/// Whether the clock of the publisher's node stood when the event was published. The stamp of the event is of the time at which
/// it came to stand: a connection that was told since is taken to know of the event, and one that joined since to be owed none.
fn is_dated_before(
    context: &Context<'_>,
    span: &AttachmentSpan,
    publish: &PublishRecord<'_>,
) -> bool {
    let since = stood_since(context, publish);
    let mut joined = span.memberships.iter().filter(|(target, membership)| {
        let mut targets = publish.audience.targets();
        membership.from.at >= since && targets.any(|named| named == target)
    });
    since < publish.called.at
        && (is_told_since(span, publish.lane, since) || joined.next().is_some())
}

/// Since when the clock of the publisher's node stood when the event was published; if it did not, the moment itself.
fn stood_since(context: &Context<'_>, publish: &PublishRecord<'_>) -> Duration {
    let origin = context.index.nodes.get(&publish.node);
    let stood: Vec<_> = origin.map_or_else(Vec::new, |origin| origin.clock_stood.clone());
    let mut since = publish.called.at;
    while let Some((begin, _)) = stood
        .iter()
        .find(|(begin, until)| *begin < since && since <= *until)
    {
        since = *begin;
    }
    since
}

fn report(
    context: &mut Context<'_>,
    check: Check,
    tag: EventTag,
    publish: &PublishRecord<'_>,
    attachment: AttachmentId,
    why: &str,
) {
    let sent = match publish.sent {
        Some((number, point)) => format!("sent as {number} at {:?}", point.at),
        None => "not sent".to_owned(),
    };
    let what = format!(
        "{} did not get event {tag} of {} (published at {:?}, lane {}, {sent}), was in its audience throughout, {why}",
        context.index.attachments[&attachment].name(),
        name(publish.node),
        publish.called.at,
        publish.lane
    );
    context.report(check, Some(tag), what);
}

/// The attachments of a node that were in the audience from the call until then, and did not get the event.
fn missed(
    context: &mut Context<'_>,
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
            context.exemptions.owed += u64::from(node != publish.node);
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
        // A connection is owed everything from the association on, whether or not its node is live. Attaching does not
        // wait until the lane of its own target is subscribed.
        let own = which == 0 && context.bounds.lanes > 1 && !local;
        let from = if own { span.reached } else { membership.here };
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
