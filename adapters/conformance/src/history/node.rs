//! One node as its users see it, with everything recorded.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use midplane::core::CloseReport;
use midplane::envelope::NodeId;
use midplane::node::Config;
use midplane::{
    AssociateError, Attachment, Audience, Backplane, ConnectionId, Event, LaneMap, Missed, Notice,
    Reach, Receipt, Relay, Scope, Sink, State, Target, Verdict,
};

use super::fact::{AttachmentId, Fact, Relayed, SinkCounts, SinkOutcome};
use super::recorder::Recorder;
use super::tag::{EventTag, hash};

/// A node whose publishers, connections and notices are recorded. A clone is another handle to the node.
#[derive(Clone)]
pub struct RecordedNode(Arc<Inner>);

struct Inner {
    id: NodeId,
    plane: Arc<dyn Backplane>,
    recorder: Recorder,
    lanes: LaneMap,
    moment: Box<Moment>,
}

type Moment = dyn Fn(Duration) -> Duration + Send + Sync;

impl RecordedNode {
    /// Records the node with this id, from its start on. `moment` maps a time on the node's own clock to the moment
    /// on the clock of the history at which the node's clock first showed it.
    pub fn new(
        id: NodeId,
        plane: Arc<dyn Backplane>,
        config: Config,
        recorder: Recorder,
        moment: impl Fn(Duration) -> Duration + Send + Sync + 'static,
    ) -> Self {
        recorder.record(Fact::Started(id));
        Self(Arc::new(Inner {
            id,
            plane,
            recorder,
            lanes: LaneMap::new(config.lanes),
            moment: Box::new(moment),
        }))
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// The node itself.
    #[must_use]
    pub fn plane(&self) -> &Arc<dyn Backplane> {
        &self.0.plane
    }

    /// Records the node's notices, from this call on and until the node is closed.
    pub fn record_notices(&self) -> impl Future<Output = ()> + Send + 'static {
        let recorded = self.clone();
        let mut notices = self.0.plane.notices();
        async move {
            while let Some(notice) = notices.next().await {
                if let Some(fact) = recorded.fact(&notice) {
                    recorded.0.recorder.record(fact);
                }
            }
        }
    }

    fn fact(&self, notice: &Notice) -> Option<Fact> {
        let node = self.0.id;
        Some(match *notice {
            Notice::State(state) => {
                let live = state == State::Live;
                Fact::State { node, live }
            }
            Notice::Joined(origin) => Fact::Joined { node, origin },
            Notice::Silent(origin) => Fact::Silent { node, origin },
            Notice::Lagged(_) => Fact::Lagged(node),
            _ => return None,
        })
    }

    fn missed(&self, attachment: AttachmentId, missed: &Missed) -> Fact {
        let moment = &self.0.moment;
        let Missed { since, until, .. } = *missed;
        let named = missed.lanes.named();
        Fact::Missed {
            attachment,
            since: moment(since.since_origin()),
            // Where the node's clock stood at `until`, the end of that stop counts.
            until: moment(until.since_origin())
                .max(moment((until + TICK).since_origin()).min(self.0.recorder.now())),
            events: missed.events,
            exact: missed.exact,
            lanes: named.map(|lanes| lanes.iter().map(|lane| lane.0).collect()),
        }
    }

    /// Attaches a connection. Its sink calls `behaviour` and returns what that returns; to panic, `behaviour`
    /// returns [`Panicked`](SinkOutcome::Panicked).
    pub fn attach(
        &self,
        connection: &ConnectionId,
        behaviour: impl Fn(Option<EventTag>) -> SinkOutcome + Send + Sync + 'static,
    ) -> RecordedConnection {
        let recorder = &self.0.recorder;
        let id = recorder.new_attachment();
        recorder.record(Fact::Attaching {
            attachment: id,
            node: self.0.id,
            scope: Scope::default(),
            connection: connection.clone(),
        });
        let of_sink = recorder.clone();
        let sink = move |event: &Event| {
            let tag = EventTag::read(event.bytes());
            let outcome = behaviour(tag);
            of_sink.record(Fact::Delivered {
                attachment: id,
                tag,
                hash: hash(event),
                outcome,
            });
            match outcome {
                SinkOutcome::Accepted => Verdict::Accepted,
                SinkOutcome::Full => Verdict::Full,
                SinkOutcome::Closed => Verdict::Closed,
                // Resuming does not call the hook that reports panics.
                SinkOutcome::Panicked => std::panic::resume_unwind(Box::new("a sink that panics")),
            }
        };
        let recorded = self.clone();
        let missed = move |missed: &Missed| {
            recorded.0.recorder.record(recorded.missed(id, missed));
        };
        let sink = Sink::with_missed(sink, missed);
        let attachment = self.0.plane.attach(connection.clone(), sink);
        recorder.record(Fact::Attached(id));
        RecordedConnection {
            id,
            connection: connection.clone(),
            attachment,
            recorder: recorder.clone(),
        }
    }

    /// A new publisher on this node.
    #[must_use]
    pub fn publisher(&self) -> RecordedPublisher {
        RecordedPublisher {
            id: self.0.recorder.new_publisher(),
            recorded: self.clone(),
            last: 0,
        }
    }

    /// Closes the node.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        let Inner {
            id,
            plane,
            recorder,
            ..
        } = &*self.0;
        recorder.record(Fact::Closing(*id));
        let report = plane.close(deadline).await;
        recorder.record(Fact::Closed {
            node: *id,
            unsent: report.unsent,
        });
        report
    }
}

impl fmt::Debug for RecordedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecordedNode").field(&self.0.id).finish()
    }
}

/// The least time between two readings of a clock.
const TICK: Duration = Duration::from_micros(1);

/// Publishes on one node, one event after the other.
#[derive(Debug)]
pub struct RecordedPublisher {
    id: u32,
    recorded: RecordedNode,
    last: u32,
}

impl RecordedPublisher {
    /// The tag of the event that was published last; number 0 if none was.
    #[must_use]
    pub fn last(&self) -> EventTag {
        EventTag {
            publisher: self.id,
            number: self.last,
        }
    }

    /// Publishes the next event, with `padding` bytes behind its tag.
    pub fn publish(&mut self, audience: &Audience, padding: usize) -> Receipt {
        let Inner {
            id,
            plane,
            recorder,
            lanes,
            ..
        } = &*self.recorded.0;
        self.last += 1;
        let tag = self.last();
        let event = tag.event(padding);
        let scope = Scope::default();
        recorder.record(Fact::Publishing {
            tag,
            node: *id,
            lane: lanes.lane(&scope, audience).0,
            scope,
            audience: audience.clone(),
            hash: hash(&event),
            bytes: event.bytes().len() as u64,
        });
        let receipt = plane.publish(audience, &event);
        recorder.record(Fact::Published {
            tag,
            counts: SinkCounts {
                accepted: receipt.local.accepted,
                full: receipt.local.full,
                closed: receipt.local.closed,
                panicked: receipt.local.panicked,
            },
            relay: match receipt.relay {
                Relay::Queued => Relayed::Queued,
                _ => Relayed::Not,
            },
        });
        receipt
    }
}

/// A connection that is attached. Dropping it detaches it.
#[derive(Debug)]
pub struct RecordedConnection {
    id: AttachmentId,
    connection: ConnectionId,
    attachment: Attachment,
    recorder: Recorder,
}

impl RecordedConnection {
    /// The id of the attachment.
    #[must_use]
    pub fn id(&self) -> AttachmentId {
        self.id
    }

    /// Waits until the connection's own target reaches as far as it can.
    pub fn await_reach(&self) -> impl Future<Output = ()> + Send + 'static {
        let (attachment, recorder) = (self.id, self.recorder.clone());
        let own = Target::Connection(self.connection.clone());
        let reached = self.attachment.await_reach(&own);
        async move {
            if reached.await.is_ok() {
                recorder.record(Fact::Reached(attachment));
            }
        }
    }

    /// Associates the connection with a target, before this returns; the future says how far that reaches.
    ///
    /// # Errors
    /// As those of [`Attachment::associate`].
    pub fn associate(
        &self,
        target: &Target,
    ) -> impl Future<Output = Result<Reach, AssociateError>> + Send + 'static {
        let (attachment, recorder) = (self.id, self.recorder.clone());
        let target = target.clone();
        recorder.record(Fact::Associating {
            attachment,
            target: target.clone(),
        });
        let associated = self.attachment.associate(&target);
        async move {
            let outcome = associated.await;
            recorder.record(Fact::Associated {
                attachment,
                target,
                reach: outcome.as_ref().ok().copied(),
            });
            outcome
        }
    }

    /// Dissociates the connection from a target.
    pub fn dissociate(&self, target: &Target) {
        let (attachment, target) = (self.id, target.clone());
        self.recorder.record(Fact::Dissociating {
            attachment,
            target: target.clone(),
        });
        self.attachment.dissociate(&target);
        self.recorder
            .record(Fact::Dissociated { attachment, target });
    }

    /// Detaches the connection, before this returns; the future waits for running sink calls, and is to be awaited
    /// outside of every sink.
    pub fn detach(&self) -> impl Future<Output = ()> + Send + 'static {
        let (id, recorder) = (self.id, self.recorder.clone());
        recorder.record(Fact::Detaching(id));
        let detached = self.attachment.detach();
        recorder.record(Fact::DetachReturned(id));
        async move {
            detached.await;
            recorder.record(Fact::Detached(id));
        }
    }
}

impl Drop for RecordedConnection {
    fn drop(&mut self) {
        self.recorder.record(Fact::Detaching(self.id));
        drop(self.attachment.detach());
        self.recorder.record(Fact::DetachReturned(self.id));
    }
}
