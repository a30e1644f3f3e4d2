//! One start of one process, with its node as a value.

use std::time::Duration;

use midplane::bus::{Lane, Limits};
use midplane::envelope::{Message, NodeId};
use midplane::node::{Config, Intake, News, Node, Queued};
use midplane::{Audience, ConnectionId, Event, Instant, Reach, Refusal, Scope, Target};

use crate::history::{
    AttachmentId, EventTag, Fact, Recorder, Relayed, SinkCounts, SinkOutcome, hash,
};

/// One step of simulated time.
pub(super) const STEP: Duration = Duration::from_millis(50);

/// The largest frame, in bytes.
pub(super) const FRAME: usize = 4_096;

/// The topics that the connection of every node is in.
const TOPICS: u64 = 5;

pub(super) struct Process {
    pub(super) node: Node,
    intake: Intake,
    pub(super) id: NodeId,
    pub(super) connected: bool,
    /// Until when the process does not run, and since when.
    pub(super) stalled_until: Duration,
    stalled_since: Option<Duration>,
    /// Until when nothing arrives from the bus, and nothing reaches the bus, without an error.
    pub(super) deaf_until: Duration,
    pub(super) mute_until: Duration,
    /// Whether it is recorded that the node must not be live.
    isolated: bool,
    pub(super) reconnect_at: Duration,
    /// When its clock began.
    started: Duration,
    attachment: AttachmentId,
    last: EventTag,
    recorder: Recorder,
}

pub(super) fn topic(number: u64) -> Target {
    Target::topic(format!("t{}", number % TOPICS)).expect("a topic of two letters")
}

impl Process {
    pub(super) fn start(id: NodeId, config: Config, recorder: &Recorder) -> Self {
        let mut node = Node::new(id, config, Limits::new(FRAME));
        (1..config.lanes).for_each(|lane| node.subscribed(Instant::ZERO, Lane(lane)));
        let attachment = recorder.new_attachment();
        recorder.record(Fact::Started(id));
        recorder.record(Fact::Attaching {
            attachment,
            node: id,
            scope: Scope::default(),
            connection: ConnectionId::new("c").expect("an id of one letter"),
        });
        recorder.record(Fact::Attached(attachment));
        for target in (0..TOPICS).map(topic) {
            recorder.record(Fact::Associating {
                attachment,
                target: target.clone(),
            });
            recorder.record(Fact::Associated {
                attachment,
                target,
                reach: Some(Reach::Everywhere),
            });
        }
        let now = recorder.now();
        Self {
            node,
            intake: Intake::new(config.lanes, Limits::new(FRAME)),
            id,
            connected: false,
            stalled_until: Duration::ZERO,
            stalled_since: None,
            deaf_until: Duration::ZERO,
            mute_until: Duration::ZERO,
            isolated: false,
            reconnect_at: now,
            started: now,
            attachment,
            last: EventTag {
                publisher: recorder.new_publisher(),
                number: 0,
            },
            recorder: recorder.clone(),
        }
    }

    /// The time on the process's own clock.
    pub(super) fn clock(&self) -> Instant {
        Instant::from_origin(self.recorder.now() - self.started)
    }

    pub(super) fn runs(&self) -> bool {
        self.recorder.now() >= self.stalled_until
    }

    pub(super) fn stall(&mut self, length: Duration) {
        let now = self.recorder.now();
        self.stalled_since.get_or_insert(now);
        self.stalled_until = now + length;
    }

    /// Ends every fault of the process.
    pub(super) fn heal(&mut self) {
        (self.deaf_until, self.mute_until) = (Duration::ZERO, Duration::ZERO);
        self.stalled_until = Duration::ZERO;
        self.reconnect_at = self.reconnect_at.min(self.recorder.now());
    }

    pub(super) fn crash(&mut self) {
        self.end_stall();
        self.recorder.record(Fact::Crashed(self.id));
    }

    /// Records the faults that ended.
    pub(super) fn record_ends(&mut self) {
        let now = self.recorder.now();
        if now >= self.deaf_until.max(self.mute_until) {
            self.end_isolation();
        }
        if self.runs() {
            self.end_stall();
        }
    }

    fn end_stall(&mut self) {
        if let Some(since) = self.stalled_since.take() {
            self.recorder.record(Fact::Stalled { since });
        }
    }

    /// The node does not receive from the bus until then, or does not reach it: its own heartbeats do not come back.
    pub(super) fn isolate(&mut self, until: Duration, mute: bool) {
        // A frame that is on its way as one isolation ends and another begins may get through.
        if self.deaf_until.max(self.mute_until) <= self.recorder.now() + STEP {
            self.end_isolation();
        }
        let ends = if mute {
            &mut self.mute_until
        } else {
            &mut self.deaf_until
        };
        *ends = until.max(*ends);
        if !std::mem::replace(&mut self.isolated, true) {
            self.recorder.record(Fact::MustNotBeLive(self.id));
        }
    }

    fn end_isolation(&mut self) {
        if std::mem::take(&mut self.isolated) {
            self.recorder.record(Fact::MayBeLive(self.id));
        }
    }

    pub(super) fn disconnect(&mut self, length: Duration) {
        self.connected = false;
        self.node.disconnected();
        self.reconnect_at = self.recorder.now() + length;
    }

    /// Publishes the next event, which the connection here gets at once.
    pub(super) fn publish(&mut self, target: Target) {
        let (event, audience) = (self.next_event(), target.into());
        let scope = Scope::default();
        let queued = self.intake.publish(self.clock(), &scope, &audience, &event);
        self.enqueue(queued, audience, &event, 1);
    }

    /// Queues a message of a kind that the other nodes do not know, for nobody.
    pub(super) fn send_unknown(&mut self) {
        let nobody = Target::connection("nobody").expect("an id of a few letters");
        let (event, kind) = (self.next_event(), 99);
        let body = event.bytes().clone();
        let message = Message::Unknown { kind, body };
        let queued = self.intake.message(self.clock(), Lane(0), &message);
        self.enqueue(queued, nobody.into(), &event, 0);
    }

    fn next_event(&mut self) -> Event {
        self.last.number += 1;
        self.last.event(0)
    }

    fn enqueue(
        &mut self,
        queued: Result<Queued, Refusal>,
        audience: Audience,
        event: &Event,
        accepted: usize,
    ) {
        let queued = queued.expect("a small event fits");
        self.recorder.record(Fact::Publishing {
            tag: self.last,
            node: self.id,
            lane: queued.lane.0,
            scope: Scope::default(),
            audience,
            hash: hash(event),
            bytes: event.bytes().len() as u64,
        });
        (0..accepted).for_each(|_| self.deliver(event));
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

    fn deliver(&self, event: &Event) {
        self.recorder.record(Fact::Delivered {
            attachment: self.attachment,
            tag: EventTag::read(event.bytes()),
            hash: hash(event),
            outcome: SinkOutcome::Accepted,
        });
    }

    /// Records the node's news; returns whether it wants another link.
    pub(super) fn record_news(&mut self) -> bool {
        let node = self.id;
        let mut reconnect = false;
        while let Some(news) = self.node.news() {
            let fact = match news {
                News::Event { event, .. } => {
                    self.deliver(&event);
                    continue;
                }
                News::Reconnect => {
                    reconnect = true;
                    continue;
                }
                News::Live => Fact::State { node, live: true },
                News::Down => Fact::State { node, live: false },
                News::Gap {
                    origin, lane, run, ..
                } => Fact::Gap {
                    node,
                    origin,
                    lane: lane.0,
                    first: run.first,
                    last: run.last,
                    published: None,
                },
                News::Deaf {
                    origin,
                    lane,
                    since,
                    until,
                } => Fact::Deaf {
                    node,
                    origin,
                    lane: lane.map(|lane| lane.0),
                    since: self.started + since.since_origin(),
                    until: self.started + until.since_origin(),
                },
                News::Joined(origin) => Fact::Joined { node, origin },
                News::Silent(origin) => Fact::Silent { node, origin },
                _ => continue,
            };
            self.recorder.record(fact);
        }
        reconnect
    }
}
