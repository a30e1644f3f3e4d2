//! A good history of two nodes, written by a cluster that is one loop over its connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use midplane::envelope::NodeId;
use midplane::{Audience, ConnectionId, Reach, Scope, Target};
use midplane_conformance::history::{
    Accounting, AttachmentId, Bounds, EventTag, Fact, History, Record, Recorder, Relayed,
    SinkCounts, SinkOutcome, hash,
};

pub(crate) const BOUNDS: Bounds = Bounds {
    heartbeat: Duration::from_secs(2),
    time_to_live: Duration::from_secs(30),
    lanes: 1,
    delay: Duration::from_millis(100),
    notice: Duration::from_secs(7),
    queue: 1_000,
    heal: Duration::from_secs(5),
    accounting: Accounting::Exact,
    whole: None,
    clock: Duration::ZERO,
};

/// The bytes of each event behind its tag.
const PADDING: usize = 3;

pub(crate) fn node(number: u8) -> NodeId {
    NodeId([number + 1; 16])
}

/// What mutations are applied to: the run of two nodes with three connections in one topic, one of which leaves.
pub(crate) struct Story {
    pub(crate) history: History,
    /// What the history is held to.
    pub(crate) bounds: Bounds,
    pub(crate) first: EventTag,
    pub(crate) second: EventTag,
    /// Published to a topic without members.
    pub(crate) aside: EventTag,
    /// Published after the fault.
    pub(crate) late: EventTag,
    /// On the node that publishes.
    pub(crate) near: AttachmentId,
    /// On the other node.
    pub(crate) far: AttachmentId,
    /// On the other node, and detached before the fault.
    pub(crate) gone: AttachmentId,
}

impl Story {
    /// A story in which one event is lost, and told.
    pub(crate) fn new() -> Self {
        Self::run(true)
    }

    /// A story in which nothing is lost, and nothing is to be.
    pub(crate) fn whole() -> Self {
        let mut story = Self::run(false);
        story.bounds.whole = Some(Duration::ZERO);
        story
    }

    fn run(lossy: bool) -> Self {
        let mut run = Run::new(2);
        let near = run.attach(0, "near");
        let far = run.attach(1, "far");
        let gone = run.attach(1, "gone");
        let first = run.publish("t");
        let second = run.publish("t");
        let aside = run.publish("aside");
        run.detach(gone);
        run.pass(30_000);
        run.begin_fault();
        run.lossy = lossy;
        run.publish("t");
        run.end_fault();
        run.pass(30_000);
        let late = run.publish("t");
        Self {
            history: run.finish(),
            bounds: BOUNDS,
            first,
            second,
            aside,
            late,
            near,
            far,
            gone,
        }
    }

    pub(crate) fn find(&self, satisfies: impl Fn(&Fact) -> bool) -> usize {
        let mut records = self.history.records.iter();
        let found = records.position(|record| satisfies(&record.fact));
        found.expect("it is in the story")
    }

    pub(crate) fn find_gap(&self) -> usize {
        self.find(|fact| matches!(fact, Fact::Gap { .. }))
    }

    pub(crate) fn find_missed(&self) -> usize {
        self.find(|fact| matches!(fact, Fact::Missed { .. }))
    }

    /// A report to the connection on the other node, at the position, of a moment before.
    pub(crate) fn missed_before(&self, position: usize) -> Fact {
        let until = self.history.records[position].at;
        Fact::Missed {
            attachment: self.far,
            since: until - Duration::from_secs(1),
            until,
            events: 1,
            exact: false,
            lanes: None,
        }
    }

    pub(crate) fn find_detached(&self) -> usize {
        self.find(|fact| matches!(fact, Fact::Detached(_)))
    }

    pub(crate) fn find_delivery(&self, to: AttachmentId, of: EventTag) -> usize {
        self.find(|fact| {
            matches!(fact, Fact::Delivered { attachment, tag, .. } if *attachment == to && *tag == Some(of))
        })
    }

    pub(crate) fn last(&self) -> usize {
        self.history.records.len() - 1
    }

    /// Inserts a fact behind the one at this position.
    pub(crate) fn insert(&mut self, behind: usize, fact: Fact) {
        let at = self.history.records[behind].at;
        self.history.records.insert(behind + 1, Record { at, fact });
    }

    pub(crate) fn remove(&mut self, position: usize) -> Fact {
        self.history.records.remove(position).fact
    }

    pub(crate) fn remove_delivery(&mut self, to: AttachmentId, of: EventTag) -> Fact {
        self.remove(self.find_delivery(to, of))
    }

    pub(crate) fn alter(&mut self, mut alter: impl FnMut(&mut Fact)) {
        let records = self.history.records.iter_mut();
        records.for_each(|record| alter(&mut record.fact));
    }

    pub(crate) fn delivered(&self, attachment: AttachmentId, tag: EventTag) -> Fact {
        Fact::Delivered {
            attachment,
            tag: Some(tag),
            hash: hash(&tag.event(PADDING)),
            outcome: SinkOutcome::Accepted,
        }
    }

    /// A gap that the second node reports of the first.
    pub(crate) fn gap(&self, first: u64, last: u64) -> Fact {
        Fact::Gap {
            node: node(1),
            origin: node(0),
            lane: 0,
            first,
            last,
            published: None,
        }
    }

    pub(crate) fn sent(&self, origin: NodeId, number: u64) -> Fact {
        Fact::Sent {
            origin,
            lane: 0,
            number,
            frame: number,
            tag: None,
        }
    }
}

/// A cluster whose first node publishes; an event arrives at once, or is lost and reported.
pub(crate) struct Run {
    recorder: Recorder,
    clock: Arc<AtomicU64>,
    nodes: u8,
    /// The connections, all of them in one topic, with their nodes.
    connections: BTreeMap<AttachmentId, u8>,
    publisher: u32,
    number: u32,
    /// Whether events are lost on their way.
    lossy: bool,
    /// The number of the event that was lost, and when it was published.
    lost: Option<(u64, Duration)>,
}

impl Run {
    pub(crate) fn new(nodes: u8) -> Self {
        let clock = Arc::new(AtomicU64::new(0));
        let time = clock.clone();
        let recorder = Recorder::new(move || Duration::from_millis(time.load(Ordering::Relaxed)));
        let run = Self {
            publisher: recorder.new_publisher(),
            recorder,
            clock,
            nodes,
            connections: BTreeMap::new(),
            number: 0,
            lossy: false,
            lost: None,
        };
        (0..nodes).for_each(|number| run.record(Fact::Started(node(number))));
        run.pass(1_000);
        for number in 0..nodes {
            let (node, live) = (node(number), true);
            run.record(Fact::State { node, live });
        }
        run.pass(20_000);
        run
    }

    pub(crate) fn record(&self, fact: Fact) {
        self.recorder.record(fact);
    }

    pub(crate) fn now(&self) -> Duration {
        self.recorder.now()
    }

    pub(crate) fn pass(&self, millis: u64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    /// Attaches a connection and associates it with the topic "t".
    fn attach(&mut self, number: u8, id: &str) -> AttachmentId {
        let attachment = self.recorder.new_attachment();
        self.record(Fact::Attaching {
            attachment,
            node: node(number),
            scope: Scope::default(),
            connection: ConnectionId::new(id).unwrap(),
        });
        self.record(Fact::Attached(attachment));
        let target = Target::topic("t").unwrap();
        self.record(Fact::Associating {
            attachment,
            target: target.clone(),
        });
        self.record(Fact::Associated {
            attachment,
            target,
            reach: Some(Reach::Everywhere),
        });
        self.connections.insert(attachment, number);
        attachment
    }

    fn detach(&mut self, attachment: AttachmentId) {
        self.record(Fact::Detaching(attachment));
        self.connections.remove(&attachment);
        self.record(Fact::DetachReturned(attachment));
        self.record(Fact::Detached(attachment));
    }

    /// Publishes on the first node.
    fn publish(&mut self, topic: &str) -> EventTag {
        self.number += 1;
        let tag = EventTag {
            publisher: self.publisher,
            number: self.number,
        };
        let event = tag.event(PADDING);
        let published = self.now();
        self.record(Fact::Publishing {
            tag,
            node: node(0),
            scope: Scope::default(),
            audience: Audience::from(Target::topic(topic).unwrap()),
            lane: 0,
            hash: hash(&event),
            bytes: event.bytes().len() as u64,
        });
        let members = topic == "t";
        let accepted = if members { self.deliver(0, tag) } else { 0 };
        self.record(Fact::Published {
            tag,
            counts: SinkCounts {
                accepted,
                ..SinkCounts::default()
            },
            relay: Relayed::Queued,
        });
        self.pass(1);
        let number = u64::from(self.number);
        self.record(Fact::Sent {
            origin: node(0),
            lane: 0,
            number,
            frame: number,
            tag: Some(tag),
        });
        self.pass(1);
        if self.lossy {
            self.lost = Some((number, published));
        } else if members {
            for other in 1..self.nodes {
                self.deliver(other, tag);
            }
        }
        tag
    }

    /// Delivers to the connections of a node; returns to how many.
    fn deliver(&self, number: u8, tag: EventTag) -> usize {
        let connections = self.connections.iter().filter(|(_, on)| **on == number);
        let delivered = connections.map(|(attachment, _)| {
            self.record(Fact::Delivered {
                attachment: *attachment,
                tag: Some(tag),
                hash: hash(&tag.event(PADDING)),
                outcome: SinkOutcome::Accepted,
            });
        });
        delivered.count()
    }

    pub(crate) fn begin_fault(&self) {
        self.record(Fact::FaultBegan);
    }

    /// Ends the fault, and has the other nodes report what was lost, and tell their connections.
    pub(crate) fn end_fault(&mut self) {
        self.lossy = false;
        self.record(Fact::FaultEnded);
        self.pass(1_000);
        if let Some((number, published)) = self.lost.take() {
            for (attachment, _) in self.connections.iter().filter(|(_, on)| **on != 0) {
                self.record(Fact::Missed {
                    attachment: *attachment,
                    since: published,
                    until: published,
                    events: 1,
                    exact: true,
                    lanes: Some(vec![0]),
                });
            }
            for other in 1..self.nodes {
                self.record(Fact::Gap {
                    node: node(other),
                    origin: node(0),
                    lane: 0,
                    first: number,
                    last: number,
                    published: Some((published, published)),
                });
            }
        }
        self.pass(1_000);
    }

    pub(crate) fn finish(self) -> History {
        self.pass(20_000);
        self.recorder.finish()
    }
}
