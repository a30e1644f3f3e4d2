//! C11 whole, C12 told: what connections were told that they may have missed, beside what they may have missed.

use std::time::Duration;

use midplane::{Audience, LaneMap};

use super::attachment::{AttachmentSpan, Missed};
use super::check::Check;
use super::context::Context;
use super::node::NodeTimeline;
use crate::history::fact::AttachmentId;

/// The clocks of nodes are as fine as those of the wire.
const FINEST: Duration = Duration::from_millis(1);

pub(super) fn judge(context: &mut Context<'_>) {
    let index = context.index;
    for (attachment, span) in &index.attachments {
        for missed in &span.missed {
            let found = why_not(context, *attachment, span, missed);
            let Some((check, why)) = found else { continue };
            let Missed {
                told, since, until, ..
            } = missed;
            let what = format!(
                "{} is told at {:?} that it may have missed what was published from {since:?} to {until:?}, but {why}",
                span.name(),
                told.at
            );
            context.report(check, None, what);
        }
    }
}

/// Why the attachment should not have been told, if it should not, and the check that says so.
fn why_not(
    context: &Context<'_>,
    attachment: AttachmentId,
    span: &AttachmentSpan,
    missed: &Missed,
) -> Option<(Check, String)> {
    let Context { index, bounds, .. } = context;
    let told = |why: &str| Some((Check::Told, why.to_owned()));
    if span.detached.is_some_and(|detached| detached < missed.told) {
        return Some((Check::Detached, "its awaited detach was ready".to_owned()));
    }
    if missed.since > missed.until {
        return told("that is no time");
    }
    if missed.until > missed.told.at + bounds.clock + FINEST {
        return told("that is not over");
    }
    if bounds.whole.is_some_and(|from| from <= missed.since) {
        let why = "nothing was to be lost".to_owned();
        return Some((Check::Whole, why));
    }
    if !has_target(context, span, missed) {
        return told("it was in no target on these lanes by then");
    }
    let timeline = index.nodes.get(&span.node)?;
    if could_be_missed(context, timeline, missed) {
        let most = unseen(context, span, missed).count() as u64;
        // How many events a forged number stands for nobody knows.
        let told_at = missed.told.at;
        let mut lanes = timeline.impersonated.keys();
        let forged = lanes.any(|lane| context.is_impersonated(timeline, *lane, told_at, told_at));
        let many = missed.exact && missed.events > most && !forged;
        return match many {
            true => told(&format!(
                "of the {} events that are counted exactly at most {most} did not arrive",
                missed.events
            )),
            false => None,
        };
    }
    let mut own = unseen(context, span, missed);
    let missed_one = own.any(|publish| {
        let mut targets = publish.audience.targets();
        targets.any(|target| span.memberships.iter().any(|(of, _)| of == target))
            && publish
                .deliveries
                .iter()
                .all(|position| index.deliveries[*position].attachment != attachment)
    });
    (!missed_one).then(|| (Check::Told, "nothing was wrong then".to_owned()))
}

/// Whether the attachment was in a target on one of the lanes that are named, before the end of what is named. An
/// audience of several targets is on lane 0, so that lane concerns every attachment.
fn has_target(context: &Context<'_>, span: &AttachmentSpan, missed: &Missed) -> bool {
    let lanes = LaneMap::new(context.bounds.lanes);
    let until = missed.until + context.bounds.clock;
    span.memberships.iter().any(|(target, membership)| {
        let lane = lanes.lane(&span.scope, &Audience::from(target.clone()));
        membership.from.at <= until && (missed.names(0) || missed.names(lane.0))
    })
}

/// Whether something was wrong that may have cost an event of this time.
fn could_be_missed(context: &Context<'_>, timeline: &NodeTimeline, missed: &Missed) -> bool {
    let Context { index, bounds, .. } = context;
    let lookback = bounds.lookback();
    let since = missed.since.saturating_sub(lookback + bounds.heal);
    if index.faults.overlap(since, missed.until + lookback) {
        return true;
    }
    if timeline
        .first_live()
        .is_none_or(|live| missed.since <= live.at + lookback)
    {
        return true;
    }
    // What a node took with it is told once it was not heard for long enough.
    let soon = bounds.time_to_live + lookback;
    let mut ended = index.nodes.values().filter_map(|node| node.ended);
    ended.any(|ended| since <= ended.at && missed.told.at <= ended.at + soon)
}

/// The events of other nodes, published in this time on these lanes, that did not arrive at the attachment's node.
fn unseen<'a>(
    context: &'a Context<'_>,
    span: &'a AttachmentSpan,
    missed: &'a Missed,
) -> impl Iterator<Item = &'a super::publish::PublishRecord<'a>> {
    let Context { index, bounds, .. } = context;
    // A node's clock shows nothing of the time before it started.
    let started = index.nodes.get(&span.node).map(|node| node.started);
    let since = match started {
        Some(started) if missed.since <= started => Duration::ZERO,
        _ => missed.since.saturating_sub(bounds.clock),
    };
    let until = missed.until + bounds.clock;
    index.events.values().filter(move |publish| {
        let arrived = |position: &usize| {
            let attachment = index.deliveries[*position].attachment;
            index.attachments[&attachment].node == span.node
        };
        publish.node != span.node
            && missed.names(publish.lane)
            && (since..=until).contains(&publish.called.at)
            && !publish.deliveries.iter().any(arrived)
    })
}
