//! One node as those see it who use it, with everything written down.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use midplane::envelope::NodeId;
use midplane::node::Config;
use midplane::{
    AssociateError, Attachment, Audience, Backplane, CloseReport, ConnectionId, Event, LaneMap,
    Notice, Receipt, Relay, Scope, Sink, State, Target, Verdict,
};

use super::{Fact, Mark, Outcome, Reach, Recorder, Relayed, Seat, Tally, hash};

/// A node whose publishers, connections and notices are written into a history. A clone is the same node.
#[derive(Clone)]
pub struct Witness(Arc<Inner>);

struct Inner {
    node: NodeId,
    plane: Arc<dyn Backplane>,
    recorder: Recorder,
    lanes: LaneMap,
    moment: Box<Moment>,
}

type Moment = dyn Fn(Duration) -> Duration + Send + Sync;

impl Witness {
    /// Watches the node with this id, from its start on. `moment` gives the moment, on the clock of the
    /// history, at which the node's own clock first showed a time.
    pub fn new(
        node: NodeId,
        plane: Arc<dyn Backplane>,
        config: Config,
        recorder: Recorder,
        moment: impl Fn(Duration) -> Duration + Send + Sync + 'static,
    ) -> Self {
        recorder.note(Fact::Started(node));
        Self(Arc::new(Inner {
            node,
            plane,
            recorder,
            lanes: LaneMap::new(config.lanes),
            moment: Box::new(moment),
        }))
    }

    /// The node's id.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.node
    }

    /// The node itself.
    #[must_use]
    pub fn plane(&self) -> &Arc<dyn Backplane> {
        &self.0.plane
    }

    /// Writes down what the node tells its host, from this call on and until it is closed.
    pub fn listen(&self) -> impl Future<Output = ()> + Send + 'static {
        let witness = self.clone();
        let mut notices = self.0.plane.notices();
        async move {
            while let Some(notice) = notices.next().await {
                if let Some(fact) = witness.fact(&notice) {
                    witness.0.recorder.note(fact);
                }
            }
        }
    }

    fn fact(&self, notice: &Notice) -> Option<Fact> {
        let Inner { node, moment, .. } = &*self.0;
        let node = *node;
        Some(match *notice {
            Notice::State(state) => {
                let live = state == State::Live;
                Fact::State { node, live }
            }
            Notice::Gap { origin, lane, run } => Fact::Gap {
                node,
                origin,
                lane: lane.0,
                first: run.first,
                last: run.last,
            },
            Notice::Deaf {
                origin,
                since,
                until,
            } => Fact::Deaf {
                node,
                origin,
                since: moment(since.since_origin()),
                // Should the clock stand at the end, it is the end of that.
                until: moment(until.since_origin())
                    .max(moment((until + TICK).since_origin()).min(self.0.recorder.now())),
            },
            Notice::Joined(origin) => Fact::Joined { node, origin },
            Notice::Silent(origin) => Fact::Silent { node, origin },
            Notice::Lagged(_) => Fact::Lagged(node),
            _ => return None,
        })
    }

    /// Attaches a connection. Its sink does what `manner` does and says what that gives; to panic it gives
    /// [`Panicked`](Outcome::Panicked).
    pub fn attach(
        &self,
        connection: &ConnectionId,
        manner: impl Fn(Option<Mark>) -> Outcome + Send + Sync + 'static,
    ) -> Person {
        let Inner {
            node,
            plane,
            recorder,
            ..
        } = &*self.0;
        let seat = recorder.seat();
        recorder.note(Fact::Attaching {
            seat,
            node: *node,
            scope: Scope::default(),
            connection: connection.clone(),
        });
        let notes = recorder.clone();
        let sink = move |event: &Event| {
            let mark = Mark::read(event.bytes());
            let outcome = manner(mark);
            notes.note(Fact::Delivered {
                seat,
                mark,
                hash: hash(event),
                outcome,
            });
            match outcome {
                Outcome::Accepted => Verdict::Accepted,
                Outcome::Full => Verdict::Full,
                Outcome::Closed => Verdict::Closed,
                // The hook that reports panics is not called.
                Outcome::Panicked => std::panic::resume_unwind(Box::new("a sink that panics")),
            }
        };
        let attachment = plane.attach(connection.clone(), Sink::new(sink));
        recorder.note(Fact::Attached(seat));
        Person {
            seat,
            attachment,
            recorder: recorder.clone(),
        }
    }

    /// Somebody who publishes on this node, and nobody else.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        Publisher {
            id: self.0.recorder.publisher(),
            witness: self.clone(),
            next: 0,
        }
    }

    /// Closes the node.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        let Inner {
            node,
            plane,
            recorder,
            ..
        } = &*self.0;
        let (node, recorder) = (*node, recorder.clone());
        recorder.note(Fact::Closing(node));
        let report = plane.close(deadline).await;
        let unsent = report.unsent;
        recorder.note(Fact::Closed { node, unsent });
        report
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Witness").field(&self.0.node).finish()
    }
}

/// The least time that a clock shows.
const TICK: Duration = Duration::from_micros(1);

/// Publishes on one node, one event after the other.
#[derive(Debug)]
pub struct Publisher {
    id: u32,
    witness: Witness,
    next: u32,
}

impl Publisher {
    /// The event that was published last; number 0 if none was.
    #[must_use]
    pub fn last(&self) -> Mark {
        let (publisher, number) = (self.id, self.next);
        Mark { publisher, number }
    }

    /// Publishes the next event, with so many bytes of padding.
    pub fn publish(&mut self, audience: &Audience, padding: usize) -> Receipt {
        let Inner {
            node,
            plane,
            recorder,
            lanes,
            ..
        } = &*self.witness.0;
        self.next += 1;
        let mark = self.last();
        let event = mark.event(padding);
        let scope = Scope::default();
        recorder.note(Fact::Publishing {
            mark,
            node: *node,
            lane: lanes.lane(&scope, audience).0,
            scope,
            audience: audience.clone(),
            hash: hash(&event),
            bytes: event.bytes().len() as u64,
        });
        let receipt = plane.publish(audience, &event);
        recorder.note(Fact::Published {
            mark,
            tally: Tally {
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
pub struct Person {
    seat: Seat,
    attachment: Attachment,
    recorder: Recorder,
}

impl Person {
    /// Which attachment it is.
    #[must_use]
    pub fn seat(&self) -> Seat {
        self.seat
    }

    /// Joins it to a target, at once; the future tells how far that reaches.
    ///
    /// # Errors
    /// As those of [`Attachment::associate`].
    pub fn associate(
        &self,
        target: &Target,
    ) -> impl Future<Output = Result<midplane::Reach, AssociateError>> + Send + 'static {
        let (seat, recorder) = (self.seat, self.recorder.clone());
        let target = target.clone();
        recorder.note(Fact::Associating {
            seat,
            target: target.clone(),
        });
        let associated = self.attachment.associate(&target);
        async move {
            let outcome = associated.await;
            let reach = match outcome {
                Ok(midplane::Reach::Everywhere) => Reach::Everywhere,
                Ok(_) => Reach::Here,
                Err(_) => Reach::Nowhere,
            };
            recorder.note(Fact::Associated {
                seat,
                target,
                reach,
            });
            outcome
        }
    }

    /// Takes it out of a target.
    pub fn dissociate(&self, target: &Target) {
        let (seat, target) = (self.seat, target.clone());
        self.recorder.note(Fact::Dissociating {
            seat,
            target: target.clone(),
        });
        self.attachment.dissociate(&target);
        self.recorder.note(Fact::Dissociated { seat, target });
    }

    /// Detaches it, at once; the future waits for its end, and is to be awaited outside of every sink.
    pub fn detach(&self) -> impl Future<Output = ()> + Send + 'static {
        let (seat, recorder) = (self.seat, self.recorder.clone());
        recorder.note(Fact::Detaching(seat));
        let detached = self.attachment.detach();
        recorder.note(Fact::Left(seat));
        async move {
            detached.await;
            recorder.note(Fact::Detached(seat));
        }
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.recorder.note(Fact::Detaching(self.seat));
        drop(self.attachment.detach());
        self.recorder.note(Fact::Left(self.seat));
    }
}
