//! The backplane of many nodes.

mod builder;
mod driver;
mod engine;
mod external;
mod lanes;
mod names;
mod outgoing;
mod polled_link;
mod shared;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use futures::stream::BoxStream;

pub use builder::ClusterBuilder;
pub use driver::Driver;
pub use external::ExternalEvent;

use crate::audience::Audience;
use crate::backplane::Backplane;
use crate::bus::Bus;
use crate::event::Event;
use crate::host::Host;
use crate::id::IdError;
use crate::node::Config;
use crate::node_id::NodeId;
use crate::notice::Notice;
use crate::question::{Answers, Question};
use crate::receipt::{CloseReport, Delivered, FlushError, Receipt, Refusal, Relay, State};
use crate::registry::{Attachment, Registry, Sink};
use crate::status::Status;
use crate::target::{ConnectionId, Scope};
use crate::time::Timer;
use outgoing::{Answered, Backlog, Command};
use shared::ClusterShared;

/// A [`Backplane`] whose nodes reach each other over a [`Bus`]. A clone is another handle to the same node.
///
/// A handle does nothing by itself between nodes: [`new`](Self::new) also gives the [`Driver`], a future that the
/// host spawns on its runtime.
///
/// # What is reported
///
/// Local delivery never waits for the bus, and is not affected by it. What a receipt says was
/// [queued](Relay::Queued) reaches every connection of the audience on every node, each once, or each
/// connection that may have missed it gets a [`Missed`](crate::Missed) that covers it, and its node gives a
/// [`Notice::Missed`].
///
/// With one lane, events of one handle arrive everywhere in the order published. With several, those for one
/// target do; events for different targets, or for several at once, may overtake each other.
pub struct Cluster<H: Host> {
    shared: Arc<ClusterShared<H>>,
    scope: Scope,
}

impl<H: Host> Cluster<H> {
    /// A node of the cluster whose nodes meet on this bus, and the future that drives the node.
    ///
    /// The id must be fresh for every start of a process: sixteen random bytes. Nothing is connected before
    /// the driver is polled; until the node is live, the state is [`State::Degraded`].
    pub fn new(
        id: NodeId,
        bus: Arc<dyn Bus>,
        timer: Arc<dyn Timer>,
        config: Config,
    ) -> (Self, Driver) {
        Self::builder(config).build(id, bus, timer)
    }

    /// A builder for a node that behaves like `config`: with a registry of its own, or with a subscription to external
    /// publishers.
    #[must_use]
    pub fn builder(config: Config) -> ClusterBuilder<H> {
        ClusterBuilder::new(config)
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.shared.id
    }

    /// The registry, for its counts.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry<H>> {
        &self.shared.registry
    }

    /// How the node is, for its operators.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let Backlog { messages, bytes } = shared.outgoing.backlog();
        let status = shared.status.lock().clone();
        Status {
            state: self.state(),
            ready: status.ready && matches!(self.state(), State::Live | State::Degraded),
            connections: shared.registry.connections(),
            drops: shared.registry.drops(),
            refusals: shared.refusals.counts(),
            queued: messages,
            queued_bytes: bytes,
            notices_dropped: shared.notices.dropped(),
            ..status
        }
    }

    fn relay(&self, audience: &Audience, event: &Event) -> Result<(), Refusal> {
        let shared = &self.shared;
        let now = shared.timer.now();
        let queued = shared.intake().publish(now, &self.scope, audience, event)?;
        shared.outgoing.push(now, queued)
    }

    fn refused(&self, refusal: Refusal) -> Relay {
        self.shared.refusals.count(&refusal);
        if refusal == Refusal::Stopped {
            self.shared.notices.report(&Notice::State(State::Stopped));
        }
        Relay::Refused(refusal)
    }
}

#[async_trait]
impl<H: Host> Backplane for Cluster<H> {
    fn attach(&self, id: ConnectionId, sink: Sink) -> Attachment {
        self.shared.registry.attach(&self.scope, id, sink)
    }

    fn publish(&self, audience: &Audience, event: &Event) -> Receipt {
        let shared = &self.shared;
        if shared.registry.is_closed() {
            return Receipt::new(Delivered::default(), self.refused(Refusal::Closed));
        }
        let local = shared.registry.deliver(&self.scope, audience, event);
        let relay = match self.relay(audience, event) {
            Ok(()) => Relay::Queued,
            Err(refusal) => self.refused(refusal),
        };
        Receipt::new(local, relay)
    }

    async fn ask(&self, question: Question, deadline: Duration) -> Answers {
        let ClusterShared {
            registry,
            outgoing,
            timer,
            config,
            ..
        } = &*self.shared;
        let here = registry.answer(&self.scope, &question);
        if registry.is_closed() {
            return Answers {
                here,
                others: Vec::new(),
                silent: Vec::new(),
                relay: self.refused(Refusal::Closed),
                live: false,
            };
        }
        let (answer, answered) = oneshot::channel();
        let now = timer.now();
        let command = Command::Ask {
            until: now + deadline,
            scope: self.scope.clone(),
            question,
            answer,
        };
        outgoing.command(now, command);
        // The driver keeps the deadline; a driver that does not run keeps none.
        let answered = timer.within(deadline + config.heartbeat, answered).await;
        let (outcome, relay) = match answered {
            Some(Ok(Ok(answered))) => (Some(answered), Relay::Queued),
            Some(Ok(Err(refusal))) => (None, Relay::Refused(refusal)),
            Some(Err(_)) | None => (None, Relay::Refused(Refusal::Stopped)),
        };
        let Answered {
            others,
            silent,
            live,
        } = outcome.unwrap_or_default();
        Answers {
            here,
            others,
            silent,
            relay,
            live,
        }
    }

    fn scoped(&self, label: &str) -> Result<Arc<dyn Backplane>, IdError> {
        Ok(Arc::new(Self {
            shared: self.shared.clone(),
            scope: self.scope.child(label)?,
        }))
    }

    fn state(&self) -> State {
        let shared = &self.shared;
        if shared.notices.state() == State::Degraded
            && shared.outgoing.is_stopped(shared.timer.now())
        {
            shared.notices.report(&Notice::State(State::Stopped));
        }
        shared.notices.state()
    }

    fn notices(&self) -> BoxStream<'static, Notice> {
        self.shared.notices.listen()
    }

    async fn flush(&self) -> Result<(), FlushError> {
        let (answer, handed) = oneshot::channel();
        let until = self.shared.timer.now();
        let command = Command::Flush { until, answer };
        self.shared.outgoing.command(until, command);
        handed.await.unwrap_or(Err(FlushError::Closed))
    }

    async fn close(&self, deadline: Duration) -> CloseReport {
        let ClusterShared {
            registry,
            outgoing,
            timer,
            notices,
            ..
        } = &*self.shared;
        if notices.state() == State::Closed {
            return CloseReport::default();
        }
        notices.report(&Notice::State(State::Closed));
        let lost = outgoing.refuse(Refusal::Closed);
        registry.close();
        let (answer, closed) = oneshot::channel();
        outgoing.command(timer.now(), Command::Close { answer });
        // A driver that is gone or was never run does not answer; what it left is counted all the same.
        if timer.within(deadline, closed).await.is_none() {
            outgoing.abandon();
        }
        CloseReport {
            unsent: outgoing.unsent(lost),
        }
    }
}

impl<H: Host> Clone for Cluster<H> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            scope: self.scope.clone(),
        }
    }
}

impl<H: Host> fmt::Debug for Cluster<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("id", &self.shared.id)
            .field("scope", &self.scope)
            .field("state", &self.shared.notices.state())
            .field("registry", &self.shared.registry)
            .finish_non_exhaustive()
    }
}
