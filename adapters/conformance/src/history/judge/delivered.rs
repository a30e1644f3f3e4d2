//! C1 unique, C2 ordered, C6 intact: the deliveries beside the publishes.

use std::collections::HashMap;
use std::hash::Hash;

use midplane::envelope::NodeId;

use super::check::Check;
use super::context::Context;
use super::publish::{Delivery, PublishRecord};
use crate::history::fact::{AttachmentId, name};
use crate::history::tag::EventTag;

/// By attachment and sequence, the highest number delivered so far, and its event.
type Highest<K> = HashMap<(AttachmentId, K), (u64, EventTag)>;

pub(super) fn judge(context: &mut Context<'_>) {
    let index = context.index;
    let mut seen = HashMap::new();
    let mut by_publisher = Highest::<(u32, Option<u32>)>::new();
    let mut by_lane = Highest::<(NodeId, u32)>::new();
    for delivery in &index.deliveries {
        let span = &index.attachments[&delivery.attachment];
        let forged = index.forged.contains(&delivery.hash);
        let publish = delivery.tag.and_then(|tag| index.events.get(&tag));
        let (Some(tag), Some(publish)) = (delivery.tag, publish) else {
            if !forged {
                let what = format!("{} got what nobody published", span.name());
                context.report(Check::Intact, delivery.tag, what);
            }
            continue;
        };
        if publish.hash != delivery.hash && !forged {
            let what = format!("{} got event {tag} with other bytes", span.name());
            context.report(Check::Intact, Some(tag), what);
        }
        let recipient = (span.node, &span.scope, &span.connection, tag);
        if let Some(before) = seen.insert(recipient, delivery.point.at) {
            let what = format!(
                "{} got event {tag} twice, at {before:?} and at {:?}",
                span.name(),
                delivery.point.at
            );
            context.report(Check::Unique, Some(tag), what);
            continue;
        }
        ordered(
            context,
            delivery,
            tag,
            publish,
            &mut by_publisher,
            &mut by_lane,
        );
    }
}

fn ordered(
    context: &mut Context<'_>,
    delivery: &Delivery,
    tag: EventTag,
    publish: &PublishRecord<'_>,
    by_publisher: &mut Highest<(u32, Option<u32>)>,
    by_lane: &mut Highest<(NodeId, u32)>,
) {
    let span = &context.index.attachments[&delivery.attachment];
    let remote = span.node != publish.node;
    // Between nodes the order of a publisher's events is that of each lane.
    let lane = remote.then_some(publish.lane);
    let key = (delivery.attachment, (tag.publisher, lane));
    let number = u64::from(tag.number);
    if let Some((highest, before)) = raise(by_publisher, key, number, tag)
        && highest > number
    {
        let what = format!(
            "{} got event {tag} after event {before} of the same publisher",
            span.name()
        );
        context.report(Check::Ordered, Some(tag), what);
        return;
    }
    let Some((number, _)) = publish.sent.filter(|_| remote) else {
        return;
    };
    let key = (delivery.attachment, (publish.node, publish.lane));
    if let Some((highest, before)) = raise(by_lane, key, number, tag)
        && highest > number
    {
        let what = format!(
            "{} got event {tag} after event {before}, but {} sent them on lane {} as {number} and {highest}",
            span.name(),
            name(publish.node),
            publish.lane
        );
        context.report(Check::Ordered, Some(tag), what);
    }
}

/// Raises the highest to this number, and returns what it was before.
fn raise<K: Hash + Eq>(
    highest: &mut Highest<K>,
    key: (AttachmentId, K),
    number: u64,
    tag: EventTag,
) -> Option<(u64, EventTag)> {
    let entry = highest.entry(key).or_insert((number, tag));
    let before = *entry;
    if number > entry.0 {
        *entry = (number, tag);
    }
    (before.1 != tag).then_some(before)
}
