//! One start of one process, with its node as a value, and what stands in for its registry.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use midplane::bus::{Lane, Limits};
use midplane::envelope::NodeId;
use midplane::node::{Config, Intake, News, Node};
use midplane::{Audience, ConnectionId, Event, Instant, Reach, Scope, Target, Timer};
use midplane_testkit::clock::{NodeClock, VirtualClock};

use super::topics::LaneTopics;
use crate::history::{
    AttachmentId, EventTag, Fact, Recorder, Relayed, SinkCounts, SinkOutcome, hash,
};

/// The least time between two readings of a clock.
const TICK: Duration = Duration::from_micros(1);

/// The connection of one lane.
struct LaneConnection {
    attachment: AttachmentId,
    lane: u32,
    topic: Target,
    /// From when on, on the node's clock, it is owed what is published.
    since: Instant,
}

pub(super) struct Member {
    pub(super) id: NodeId,
    pub(super) node: Node,
    intake: Intake,
    pub(super) clock: NodeClock,
    pub(super) alive: bool,
    /// When it is gone, once it said goodbye.
    pub(super) leaving: Option<Duration>,
    /// The number of its link; none has the number 0.
    pub(super) link: u64,
    /// Whether the node knows of the link.
    pub(super) connected: bool,
    /// The lanes that the broker serves the link.
    pub(super) served: BTreeSet<u32>,
    /// The lanes that have a connection, and since when.
    pub(super) wanted: BTreeMap<u32, Instant>,
    /// When the process runs again.
    pub(super) runs_at: Duration,
    pub(super) stalled_since: Option<Duration>,
    /// What arrived and was not received, with the link that it came by.
    pub(super) inbox: VecDeque<(u64, Lane, Bytes)>,
    /// Until when what it sends on a lane is lost.
    pub(super) mute_until: BTreeMap<u32, Duration>,
    /// How long a frame takes from here to the broker.
    pub(super) upstream: Duration,
    /// When its timer is due.
    pub(super) timer: Option<Duration>,
    connections: Vec<LaneConnection>,
    last: EventTag,
    recorder: Recorder,
    topics: LaneTopics,
}

impl Member {
    pub(super) fn start(
        id: NodeId,
        config: Config,
        frame: usize,
        topics: &LaneTopics,
        clock: &VirtualClock,
        recorder: &Recorder,
    ) -> Self {
        recorder.record(Fact::Started(id));
        Self {
            id,
            node: Node::new(id, config, Limits::new(frame)),
            intake: Intake::new(config.lanes, Limits::new(frame)),
            clock: NodeClock::new(clock.clone()),
            alive: true,
            leaving: None,
            link: 0,
            connected: false,
            served: BTreeSet::new(),
            wanted: BTreeMap::new(),
            runs_at: Duration::ZERO,
            stalled_since: None,
            inbox: VecDeque::new(),
            mute_until: BTreeMap::new(),
            upstream: Duration::ZERO,
            timer: None,
            connections: Vec::new(),
            last: EventTag {
                publisher: recorder.new_publisher(),
                number: 0,
            },
            recorder: recorder.clone(),
            topics: topics.clone(),
        }
    }

    /// The instant on the process's own clock.
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(super) fn runs(&self) -> bool {
        self.alive && self.recorder.now() >= self.runs_at
    }

    /// When its clock shows this.
    pub(super) fn moment(&self, instant: Instant) -> Duration {
        self.clock.moment(instant.since_origin())
    }

    /// A connection joins the topic of the lane, and is owed everything from now on; the node does not know it yet.
    pub(super) fn join(&mut self, lane: u32) {
        let here = |connection: &LaneConnection| connection.lane == lane;
        if self.connections.iter().any(here) {
            return;
        }
        let attachment = self.recorder.new_attachment();
        self.recorder.record(Fact::Attaching {
            attachment,
            node: self.id,
            scope: Scope::default(),
            connection: ConnectionId::new(format!("c{lane}")).expect("an id of a few letters"),
        });
        self.recorder.record(Fact::Attached(attachment));
        let topic = self.topics.of(lane).clone();
        self.recorder.record(Fact::Associating {
            attachment,
            target: topic.clone(),
        });
        let since = self.now();
        self.recorder.record(Fact::Associated {
            attachment,
            target: topic.clone(),
            reach: Some(Reach::Everywhere),
        });
        self.wanted.insert(lane, since);
        self.connections.push(LaneConnection {
            attachment,
            lane,
            topic,
            since,
        });
    }

    /// The connection of the lane leaves its topic.
    pub(super) fn part(&mut self, lane: u32) {
        let here = |connection: &LaneConnection| connection.lane == lane;
        let Some(at) = self.connections.iter().position(here) else {
            return;
        };
        let connection = self.connections.remove(at);
        self.recorder.record(Fact::Detaching(connection.attachment));
        self.recorder
            .record(Fact::DetachReturned(connection.attachment));
        self.recorder.record(Fact::Detached(connection.attachment));
        self.wanted.remove(&lane);
        self.node.unsubscribed(Lane(lane));
    }

    /// The node knows of every lane that has a connection. Audiences of several targets are on lane 0, whatever lanes
    /// their targets are on.
    pub(super) fn subscribe(&mut self) {
        if let Some(since) = self.wanted.values().min() {
            self.node.subscribed(*since, Lane(0));
        }
        for (lane, since) in &self.wanted {
            self.node.subscribed(*since, Lane(*lane));
        }
    }

    /// Publishes the next event.
    pub(super) fn publish(&mut self, lane: Option<u32>, lanes: u32) {
        self.last.number += 1;
        let event = self.last.event(0);
        // An audience of two topics is on lane 0.
        let lane = lane.unwrap_or(self.last.number % lanes);
        let other = (lane + 1) % lanes;
        let mut audience = Audience::from(self.topics.of(lane).clone());
        if self.last.number.is_multiple_of(16) && other != lane {
            audience = audience.or(self.topics.of(other).clone());
        }
        let scope = Scope::default();
        let queued = self.intake.publish(self.now(), &scope, &audience, &event);
        let queued = queued.expect("a small event fits");
        self.recorder.record(Fact::Publishing {
            tag: self.last,
            node: self.id,
            lane: queued.lane.0,
            scope,
            audience: audience.clone(),
            hash: hash(&event),
            bytes: event.bytes().len() as u64,
        });
        let accepted = self.deliver(&audience, &event);
        self.node.enqueue(queued);
        self.recorder.record(Fact::Published {
            tag: self.last,
            counts: SinkCounts {
                accepted,
                ..SinkCounts::default()
            },
            relay: Relayed::Queued,
        });
    }

    /// Delivers to the connections of the audience; returns to how many.
    fn deliver(&self, audience: &Audience, event: &Event) -> usize {
        let mut delivered = 0;
        for connection in &self.connections {
            if audience.targets().any(|target| *target == connection.topic) {
                delivered += 1;
                self.recorder.record(Fact::Delivered {
                    attachment: connection.attachment,
                    tag: EventTag::read(event.bytes()),
                    hash: hash(event),
                    outcome: SinkOutcome::Accepted,
                });
            }
        }
        delivered
    }

    /// Records the node's news; returns whether it wants another link.
    pub(super) fn record_news(&mut self) -> bool {
        let node = self.id;
        let mut reconnect = false;
        while let Some(news) = self.node.news() {
            let fact = match news {
                News::Event {
                    audience, event, ..
                } => {
                    self.deliver(&audience, &event);
                    continue;
                }
                News::Reconnect => {
                    reconnect = true;
                    continue;
                }
                News::Live => Fact::State { node, live: true },
                News::Down => Fact::State { node, live: false },
                News::Gap {
                    origin,
                    lane,
                    run,
                    since,
                    until,
                } => {
                    let events = run.last - run.first + 1;
                    self.tell(Some(lane), (since, until), (events, true));
                    Fact::Gap {
                        node,
                        origin,
                        lane: lane.0,
                        first: run.first,
                        last: run.last,
                        published: Some(self.moments(since, until)),
                    }
                }
                News::Deaf {
                    origin,
                    lane,
                    since,
                    until,
                } => {
                    self.tell(lane, (since, until), (0, false));
                    let (since, until) = self.moments(since, until);
                    Fact::Deaf {
                        node,
                        origin,
                        lane: lane.map(|lane| lane.0),
                        since,
                        until,
                    }
                }
                News::Joined(origin) => Fact::Joined { node, origin },
                News::Silent(origin) => Fact::Silent { node, origin },
                _ => continue,
            };
            self.recorder.record(fact);
        }
        reconnect
    }

    /// When the clock showed these instants; where the clock stood at the second, until it went on.
    fn moments(&self, since: Instant, until: Instant) -> (Duration, Duration) {
        let went_on = self.moment(until + TICK).min(self.recorder.now());
        (self.moment(since), self.moment(until).max(went_on))
    }

    /// Tells the connections that this concerns: those with a topic on the lane, or any where the lane is that of
    /// audiences of several targets, that were there before the end.
    fn tell(
        &self,
        lane: Option<Lane>,
        (since, until): (Instant, Instant),
        (events, exact): (u64, bool),
    ) {
        let (from, to) = self.moments(since, until);
        for connection in &self.connections {
            let named = lane.is_none_or(|lane| lane.0 == 0 || lane.0 == connection.lane);
            if named && connection.since <= until {
                self.recorder.record(Fact::Missed {
                    attachment: connection.attachment,
                    since: from,
                    until: to,
                    events,
                    exact,
                    lanes: lane.map(|lane| vec![lane.0]),
                });
            }
        }
    }

    /// Records that the process is gone.
    pub(super) fn end(&mut self, fact: Fact) {
        self.end_stall();
        self.alive = false;
        self.link = 0;
        self.inbox.clear();
        self.recorder.record(fact);
    }

    pub(super) fn end_stall(&mut self) {
        if let Some(since) = self.stalled_since.take() {
            self.recorder.record(Fact::Stalled { since });
        }
    }
}
