//! Whether nobody has to account for the loss of an event.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use midplane::envelope::NodeId;

use super::context::Context;
use super::exempt::Exemption;
use super::node::NodeTimeline;
use super::point::Point;
use super::publish::PublishRecord;
use crate::history::tag::EventTag;

/// The events of closed nodes that were lost unsent: the report of the close accounts for that many, the youngest that were not
/// sent, for those before had expired.
#[derive(Debug, Default)]
pub(super) struct UnsentEvents(HashSet<EventTag>);

impl UnsentEvents {
    pub(super) fn new(context: &Context<'_>) -> Self {
        let mut waiting: HashMap<NodeId, Vec<(Duration, EventTag)>> = HashMap::new();
        let events = context.index.events.iter();
        for (tag, publish) in events.filter(|(_, publish)| publish.is_unsent()) {
            let place = (publish.called.at, *tag);
            waiting.entry(publish.node).or_default().push(place);
        }
        let mut unsent = HashSet::new();
        for (node, mut events) in waiting {
            let timeline = context.index.nodes.get(&node);
            let reported = timeline.and_then(|timeline| timeline.unsent).unwrap_or(0);
            events.sort_unstable();
            let youngest = events.into_iter().rev().take(reported);
            unsent.extend(youngest.map(|(_, tag)| tag));
        }
        Self(unsent)
    }

    /// Whether the report of the origin's close accounts for this event.
    pub(super) fn account_for(&self, tag: EventTag) -> bool {
        self.0.contains(&tag)
    }
}

/// Why nobody has to account for the loss of the event at this node, if that is so. The event was on its way between
/// these moments.
pub(super) fn excuse(
    context: &Context<'_>,
    publish: &PublishRecord<'_>,
    timeline: &NodeTimeline,
    (from, until): (Duration, Duration),
) -> Option<Exemption> {
    let Context { index, bounds, .. } = context;
    let lane = (publish.node, publish.lane);
    let whole = bounds.whole.is_some_and(|whole| whole <= publish.called.at);
    // A number that is missing may be taken until it was sent again.
    let repaired = until + bounds.lookback();
    if !whole && context.is_impersonated(timeline, lane, from, repaired) {
        return Some(Exemption::Impersonated);
    }
    let origin = index.nodes.get(&publish.node)?;
    if let Some(end) = timeline.closing.or(timeline.ended)
        && end.at <= known_by(context, origin, until)
    {
        return Some(Exemption::ReceiverEnded);
    }
    if clock_fault(timeline, origin, publish.node).is_some_and(|until| from <= until) {
        return Some(Exemption::ClockFault);
    }
    let ended = origin.ended?;
    if index.end.at <= known_by(context, origin, ended.at) {
        return Some(Exemption::HistoryEnded);
    }
    if has_joined(timeline, publish.node) {
        let silent = is_silent(context, timeline, publish) && !is_heard_after(context, publish);
        return silent.then_some(Exemption::OriginSilent);
    }
    // Others name an origin that they do not hear any more for as long as what it sent may be delivered, and a little
    // longer, and one that said goodbye too.
    let forgotten = ended.at + bounds.time_to_live + bounds.heartbeat * 3;
    let away = timeline
        .first_time(true, publish.called.at, forgotten)
        .is_none();
    let mut lives = index.nodes.values().filter(|node| node.ended.is_none());
    let started = timeline.started;
    let heard =
        lives.any(|node| has_joined(node, publish.node) && !parted(context, origin, node, started));
    let unheard = !heard || away || publish.sent.is_none();
    unheard.then_some(Exemption::OriginUnheard)
}

/// Whether one of the two could not be heard, or not hear, from then until the origin died.
fn parted(
    context: &Context<'_>,
    origin: &NodeTimeline,
    node: &NodeTimeline,
    since: Duration,
) -> bool {
    // The next heartbeat comes up to two heartbeats after a link works again.
    let spoke = context.bounds.heartbeat * 2;
    let both = origin.must_not_be_live.iter().chain(&node.must_not_be_live);
    let mut times: Vec<_> = both
        .map(|(begin, end)| (begin.at, end.map_or(Duration::MAX, |end| end.at)))
        .collect();
    times.sort_unstable();
    let parted = times
        .into_iter()
        .fold(since, |until, (begin, end)| match begin <= until {
            true => until.max(end.saturating_add(spoke)),
            false => until,
        });
    origin.ended.is_some_and(|ended| ended.at <= parted)
}

/// Whether the origin was not heard for ten heartbeats when the event was published, as the node had reported: it does after
/// two. On a link that has just begun it does later, and tells of the loss at once: then it is live although it misses a member.
fn is_silent(context: &Context<'_>, node: &NodeTimeline, publish: &PublishRecord<'_>) -> bool {
    let reports = node.members.iter();
    let mut before =
        reports.filter(|(point, of, _)| *of == publish.node && *point < publish.called);
    let long = context.bounds.heartbeat * 7;
    let last = before.next_back().filter(|(.., heard)| !heard);
    last.is_some_and(|(Point { at, .. }, ..)| {
        let told = || node.first_time(true, *at, publish.called.at).is_some();
        *at + long <= publish.called.at || told()
    })
}

/// Whether any node heard the origin once the event was published.
fn is_heard_after(context: &Context<'_>, publish: &PublishRecord<'_>) -> bool {
    let index = context.index;
    let arrived = |position: &usize| {
        let attachment = index.deliveries[*position].attachment;
        index.attachments[&attachment].node != publish.node
    };
    let mut members = index.nodes.values().flat_map(|node| &node.members);
    let joined = members
        .any(|(point, of, joined)| *joined && *of == publish.node && *point > publish.called);
    publish.sent.is_some() && (joined || publish.deliveries.iter().any(arrived))
}

/// When the clock of the node stood last, or that of the origin leapt, before the node had heard the origin, or was live for
/// long: nothing that the node can see tells such a time from one in which it had not begun.
fn clock_fault(timeline: &NodeTimeline, origin: &NodeTimeline, id: NodeId) -> Option<Duration> {
    let mut members = timeline.members.iter();
    let joined = members.find(|(_, of, joined)| *of == id && *joined);
    let joined = joined.map_or(Duration::MAX, |(point, ..)| point.at);
    let leapt = origin.clock_leapt.iter().map(|at| (*at, *at));
    let faults = timeline.clock_stood.iter().copied().chain(leapt);
    let before = faults.filter(|(begin, _)| *begin <= joined);
    before.map(|(_, until)| until).max()
}

/// Whether the node ever reported that this origin is a member.
fn has_joined(node: &NodeTimeline, origin: NodeId) -> bool {
    let mut members = node.members.iter();
    members.any(|(_, of, heard)| *of == origin && *heard)
}

/// The moment by which the loss of an event of this origin is known that was on its way, or due to be, until then.
fn known_by(context: &Context<'_>, origin: &NodeTimeline, until: Duration) -> Duration {
    let Context { index, bounds, .. } = context;
    let died = origin.ended.map_or(Duration::ZERO, |ended| ended.at);
    let due = until.max(died) + bounds.time_to_live + bounds.lookback();
    // A node that cannot hear learns of the loss once it can.
    let healed = index.faults.last_end_before(due);
    due.max(healed.saturating_add(bounds.time_to_live + bounds.lookback()))
}
