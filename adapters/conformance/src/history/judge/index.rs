//! A history, sorted by what its facts are about.

use std::collections::{BTreeMap, HashMap, HashSet};

use midplane::envelope::NodeId;
use midplane::{Scope, Target};

use super::attachment::{AttachmentSpan, Membership, Missed};
use super::faults::Faults;
use super::node::{Deaf, Gap, NodeTimeline};
use super::point::Point;
use super::publish::{Delivery, PublishRecord, Sending};
use crate::history::fact::{AttachmentId, Fact, SinkOutcome};
use crate::history::log::History;
use crate::history::tag::EventTag;

#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    pub(super) end: Point,
    pub(super) nodes: BTreeMap<NodeId, NodeTimeline>,
    pub(super) attachments: BTreeMap<AttachmentId, AttachmentSpan>,
    pub(super) events: HashMap<EventTag, PublishRecord<'a>>,
    /// The attachments that ever were members of a target, a connection's own target included.
    pub(super) ever_members: HashMap<(NodeId, Scope, Target), Vec<AttachmentId>>,
    pub(super) deliveries: Vec<Delivery>,
    /// The hashes of events that unknown senders put on the bus.
    pub(super) forged: HashSet<u64>,
    /// By origin and lane, the numbers that were handed to the bus.
    pub(super) sent: HashMap<(NodeId, u32), BTreeMap<u64, Sending>>,
    /// By publisher and lane, by the publisher's numbers, under which number each event was handed to the bus first,
    /// and when.
    pub(super) sent_by_publisher: HashMap<(u32, u32), BTreeMap<u32, (u64, Point)>>,
    /// The nodes whose numbers were recorded.
    tapped: HashSet<NodeId>,
    pub(super) faults: Faults,
    pub(super) levels: Vec<(&'a str, u64, u64)>,
}

impl<'a> Index<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        let mut index = Self::default();
        for (position, record) in history.records.iter().enumerate() {
            let at = record.at;
            index.read(Point { position, at }, &record.fact);
        }
        index.faults.merge();
        index.end = Point {
            position: history.records.len(),
            at: history.end,
        };
        index
    }

    /// Whether the numbers of this node's messages were recorded.
    pub(super) fn is_tapped(&self, node: NodeId) -> bool {
        self.tapped.contains(&node)
    }

    fn node(&mut self, node: NodeId) -> &mut NodeTimeline {
        self.nodes.entry(node).or_default()
    }

    fn span(&mut self, attachment: AttachmentId) -> &mut AttachmentSpan {
        let span = self.attachments.get_mut(&attachment);
        span.expect("a history names an attachment first as it is attached")
    }

    fn read(&mut self, point: Point, fact: &'a Fact) {
        match fact {
            Fact::Started(node) => self.node(*node).started = point.at,
            Fact::Crashed(node) => {
                self.node(*node).ended = Some(point);
                self.may_end_attachments(*node, point);
            }
            Fact::Closing(node) => {
                self.node(*node).closing = Some(point);
                self.may_end_attachments(*node, point);
            }
            Fact::Closed { node, unsent } => {
                let timeline = self.node(*node);
                timeline.ended = Some(point);
                timeline.unsent = Some(*unsent);
            }
            Fact::State { node, live } => {
                self.node(*node).states.push((point, *live));
            }
            Fact::Gap {
                node,
                origin,
                lane,
                first,
                last,
                published,
            } => self.node(*node).gaps.push(Gap {
                reported: point,
                origin: *origin,
                lane: *lane,
                first: *first,
                last: *last,
                published: *published,
            }),
            Fact::Deaf {
                node,
                origin,
                lane,
                since,
                until,
            } => self.node(*node).deaf.push(Deaf {
                reported: point,
                origin: *origin,
                lane: *lane,
                since: *since,
                until: *until,
            }),
            Fact::Joined { node, origin } => {
                self.node(*node).members.push((point, *origin, true));
            }
            Fact::Silent { node, origin } => {
                self.node(*node).members.push((point, *origin, false));
            }
            Fact::Sent {
                origin,
                lane,
                number,
                frame,
                tag,
            } => {
                let sending = Sending {
                    point,
                    frame: *frame,
                    tag: *tag,
                };
                self.tapped.insert(*origin);
                let sendings = self.sent.entry((*origin, *lane)).or_default();
                sendings.entry(*number).or_insert(sending);
                if let Some(tag) = tag {
                    let sent = self.sent_by_publisher.entry((tag.publisher, *lane));
                    let first = sent.or_default().entry(tag.number);
                    first.or_insert((*number, point));
                }
                if let Some(publish) = tag.and_then(|tag| self.events.get_mut(&tag)) {
                    publish.sent.get_or_insert((*number, point));
                }
            }
            Fact::Forged { hash } => drop(self.forged.insert(*hash)),
            Fact::Impersonated { node, origin, lane } => {
                let impersonated = &mut self.node(*node).impersonated;
                let times = impersonated.entry((*origin, *lane)).or_default();
                times.push(point.at);
            }
            Fact::FaultBegan => self.faults.begin(point),
            Fact::FaultEnded => self.faults.end(point),
            Fact::Stalled { since } => self.faults.stall(*since, point),
            Fact::ClockFault { node, until, leap } => {
                let node = self.node(*node);
                match leap {
                    true => node.clock_leapt.push(*until),
                    false => node.clock_stood.push((point.at, *until)),
                }
            }
            Fact::MustNotBeLive(node) => self.node(*node).must_not_be_live.push((point, None)),
            Fact::MayBeLive(node) => {
                if let Some((_, end)) = self.node(*node).must_not_be_live.last_mut() {
                    *end = Some(point);
                }
            }
            Fact::Level { what, value, cap } => self.levels.push((what, *value, *cap)),
            call => self.read_call(point, call),
        }
    }

    fn read_call(&mut self, point: Point, fact: &'a Fact) {
        match fact {
            Fact::Attaching {
                attachment,
                node,
                scope,
                connection,
            } => {
                // On a closed node the connection is detached from the start.
                let closing = self.node(*node).closing;
                let (scope, connection) = (scope.clone(), connection.clone());
                let span = AttachmentSpan::new(*node, scope, connection, point, closing);
                self.read_attaching(point, *attachment, span);
            }
            Fact::Attached(attachment) => self.read_attached(point, *attachment),
            Fact::Reached(attachment) => {
                self.span(*attachment).reached.get_or_insert(point);
            }
            Fact::Associating { attachment, target } => {
                let span = self.span(*attachment);
                let membership = Membership::begin(point);
                span.memberships.push((target.clone(), membership));
                let (node, scope) = (span.node, span.scope.clone());
                let members = self.ever_members.entry((node, scope, target.clone()));
                let members = members.or_default();
                if !members.contains(attachment) {
                    members.push(*attachment);
                }
            }
            Fact::Associated {
                attachment,
                target,
                reach,
            } => self.span(*attachment).associated(point, target, *reach),
            Fact::Dissociating { attachment, target } => {
                for membership in self.span(*attachment).in_target(target) {
                    membership.leaving.get_or_insert(point);
                }
            }
            Fact::Dissociated { attachment, target } => {
                for membership in self.span(*attachment).in_target(target) {
                    // Associated again since it began to leave, it may have stayed.
                    if membership.leaving.is_some() {
                        membership.until.get_or_insert(point);
                    }
                }
            }
            Fact::Detaching(attachment) => {
                self.span(*attachment).maybe_gone.get_or_insert(point);
            }
            Fact::DetachReturned(attachment) => {
                self.span(*attachment).gone.get_or_insert(point);
            }
            Fact::Detached(attachment) => {
                self.span(*attachment).detached.get_or_insert(point);
            }
            Fact::Publishing {
                tag,
                node,
                scope,
                audience,
                lane,
                hash,
                bytes,
            } => {
                let publish = PublishRecord {
                    node: *node,
                    scope,
                    audience,
                    lane: *lane,
                    hash: *hash,
                    bytes: *bytes,
                    called: point,
                    returned: None,
                    sent: None,
                    deliveries: Vec::new(),
                };
                self.events.insert(*tag, publish);
            }
            Fact::Published { tag, counts, relay } => {
                if let Some(publish) = self.events.get_mut(tag) {
                    publish.returned = Some((point, *counts, *relay));
                }
            }
            Fact::Delivered {
                attachment,
                tag,
                hash,
                outcome,
            } => self.read_delivered(Delivery {
                point,
                attachment: *attachment,
                tag: *tag,
                hash: *hash,
                outcome: *outcome,
            }),
            Fact::Missed {
                attachment,
                since,
                until,
                events,
                exact,
                lanes,
            } => {
                let (times, count) = ((*since, *until), (*events, *exact));
                let missed = Missed::new(point, times, count, lanes.clone());
                self.span(*attachment).missed.push(missed);
            }
            _ => {}
        }
    }

    fn read_delivered(&mut self, delivery: Delivery) {
        let position = self.deliveries.len();
        self.deliveries.push(delivery);
        let span = self.span(delivery.attachment);
        if matches!(
            delivery.outcome,
            SinkOutcome::Closed | SinkOutcome::Panicked
        ) {
            span.maybe_gone.get_or_insert(delivery.point);
        }
        let node = span.node;
        let Some(tag) = delivery.tag else { return };
        let Some(publish) = self.events.get_mut(&tag) else {
            return;
        };
        publish.deliveries.push(position);
        let (origin, lane, sent) = (publish.node, publish.lane, publish.sent);
        if origin == node {
            return;
        }
        let sendings = self.sent.get(&(origin, lane));
        let frame = sent.and_then(|(number, _)| Some(sendings?.get(&number)?.frame));
        let timeline = self.node(node);
        let by_publisher = timeline.by_publisher.entry((tag.publisher, lane));
        by_publisher
            .or_default()
            .insert(u64::from(tag.number), delivery.point);
        if let Some((number, _)) = sent {
            let by_number = timeline.by_number.entry((origin, lane)).or_default();
            by_number.insert(number, delivery.point);
            timeline
                .frames
                .entry((origin, lane))
                .or_default()
                .extend(frame);
        }
    }

    fn read_attaching(&mut self, point: Point, attachment: AttachmentId, span: AttachmentSpan) {
        let key = (span.node, span.scope.clone(), span.own_target());
        self.attachments.insert(attachment, span);
        // An attachment with the same connection id is about to be replaced.
        let others = self.ever_members.entry(key).or_default();
        for replaced in others.iter() {
            if let Some(span) = self.attachments.get_mut(replaced) {
                span.maybe_gone.get_or_insert(point);
            }
        }
        others.push(attachment);
    }

    fn read_attached(&mut self, point: Point, attachment: AttachmentId) {
        let span = self.span(attachment);
        let key = (span.node, span.scope.clone(), span.own_target());
        let own = span.own();
        own.here = Some(point);
        // From now on no publish that begins finds those that it replaced. Of two that were attached at once,
        // either may have been last.
        let begun = own.from;
        for other in self.ever_members.get(&key).into_iter().flatten() {
            if let Some(span) = self.attachments.get_mut(other)
                && span.own().here.is_some_and(|attached| attached < begun)
            {
                span.gone.get_or_insert(point);
            }
        }
    }

    fn may_end_attachments(&mut self, node: NodeId, point: Point) {
        for span in self.spans_of(node) {
            span.maybe_gone.get_or_insert(point);
        }
    }

    fn spans_of(&mut self, node: NodeId) -> impl Iterator<Item = &mut AttachmentSpan> {
        let spans = self.attachments.values_mut();
        spans.filter(move |span| span.node == node)
    }
}
