//! C9 truthful: receipts beside the sinks that were called.

use super::check::Check;
use super::context::Context;
use super::point::Point;
use super::publish::PublishRecord;
use crate::history::fact::{SinkCounts, SinkOutcome, name};

pub(super) fn judge(context: &mut Context<'_>) {
    let index = context.index;
    for (tag, publish) in &index.events {
        let Some((returned, counts, _)) = publish.returned else {
            continue;
        };
        let called = count(context, publish, returned);
        if counts != called {
            let what = format!(
                "the receipt of event {tag} on {} says {counts}; until {:?} its sinks said {called}",
                name(publish.node),
                returned.at
            );
            context.report(Check::Truthful, Some(*tag), what);
        }
    }
}

/// What the sinks of the publisher's node said while the publish ran.
fn count(context: &Context<'_>, publish: &PublishRecord<'_>, returned: Point) -> SinkCounts {
    let index = context.index;
    let mut counts = SinkCounts::default();
    for position in &publish.deliveries {
        let delivery = index.deliveries[*position];
        let here = index.attachments[&delivery.attachment].node == publish.node;
        if here && delivery.point < returned {
            match delivery.outcome {
                SinkOutcome::Accepted => counts.accepted += 1,
                SinkOutcome::Full => counts.full += 1,
                SinkOutcome::Closed => counts.closed += 1,
                SinkOutcome::Panicked => counts.panicked += 1,
            }
        }
    }
    counts
}
