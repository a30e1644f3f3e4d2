//! C3 member, C5 detached: the recipients.

use super::attachment::AttachmentSpan;
use super::check::Check;
use super::context::Context;
use super::publish::{Delivery, PublishRecord};

pub(super) fn judge(context: &mut Context<'_>) {
    let index = context.index;
    for delivery in &index.deliveries {
        let span = &index.attachments[&delivery.attachment];
        if let Some(detached) = span.detached
            && detached < delivery.point
        {
            let what = format!(
                "{} was called at {:?}, after its awaited detach was ready at {:?}",
                span.name(),
                delivery.point.at,
                detached.at
            );
            context.report(Check::Detached, delivery.tag, what);
            continue;
        }
        let tag = delivery.tag;
        if let Some((tag, publish)) = tag.and_then(|tag| Some((tag, index.events.get(&tag)?)))
            && !was_member(span, publish, delivery)
        {
            let what = format!(
                "{} got event {tag}, but was never in its audience while that was on its way",
                span.name()
            );
            context.report(Check::Member, Some(tag), what);
        }
    }
}

/// Whether the attachment was in the audience at some instant between the call of the publish and this delivery.
fn was_member(span: &AttachmentSpan, publish: &PublishRecord<'_>, delivery: &Delivery) -> bool {
    if *publish.scope != span.scope || publish.audience.excluded().contains(&span.connection) {
        return false;
    }
    if span.gone.is_some_and(|gone| gone < publish.called) {
        return false;
    }
    span.memberships.iter().any(|(target, membership)| {
        membership.from <= delivery.point
            && membership.until.is_none_or(|until| publish.called <= until)
            && publish.audience.targets().any(|named| named == target)
    })
}
