//! The backplane of one node.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::audience::Audience;
use crate::backplane::Backplane;
use crate::event::Event;
use crate::host::Host;
use crate::id::IdError;
use crate::notice::{Notice, Notices};
use crate::question::{Answers, Question};
use crate::receipt::{CloseReport, Delivered, FlushError, Receipt, Refusal, Relay, State};
use crate::registry::{Attachment, Registry, Sink};
use crate::status::Status;
use crate::target::{ConnectionId, Scope};

/// A [`Backplane`] with one node: the registry and nothing else. A clone is another handle to the same registry.
pub struct Local<H: Host> {
    registry: Arc<Registry<H>>,
    notices: Arc<Notices<H>>,
    scope: Scope,
}

impl<H: Host> Local<H> {
    /// A backplane with a registry of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::with_registry(Registry::new())
    }

    /// A backplane over this registry.
    #[must_use]
    pub fn with_registry(registry: Registry<H>) -> Self {
        Self {
            registry: Arc::new(registry),
            notices: Notices::new(State::Live),
            scope: Scope::default(),
        }
    }

    /// The registry, for its counts.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry<H>> {
        &self.registry
    }

    /// The state and the counts of the node.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            state: self.state(),
            ready: self.state() == State::Live,
            connections: self.registry.connections(),
            drops: self.registry.drops(),
            notices_dropped: self.notices.dropped(),
            ..Status::default()
        }
    }
}

#[async_trait]
impl<H: Host> Backplane for Local<H> {
    fn attach(&self, id: ConnectionId, sink: Sink) -> Attachment {
        self.registry.attach(&self.scope, id, sink)
    }

    fn publish(&self, audience: &Audience, event: &Event) -> Receipt {
        if self.registry.is_closed() {
            return Receipt::new(Delivered::default(), Relay::Refused(Refusal::Closed));
        }
        Receipt::new(
            self.registry.deliver(&self.scope, audience, event),
            Relay::NotConfigured,
        )
    }

    /// Ready at once: there is no other node to ask.
    async fn ask(&self, question: Question, _deadline: Duration) -> Answers {
        let relay = match self.registry.is_closed() {
            true => Relay::Refused(Refusal::Closed),
            false => Relay::NotConfigured,
        };
        Answers {
            here: self.registry.answer(&self.scope, &question),
            others: Vec::new(),
            silent: Vec::new(),
            relay,
            live: true,
        }
    }

    fn scoped(&self, label: &str) -> Result<Arc<dyn Backplane>, IdError> {
        Ok(Arc::new(Self {
            registry: self.registry.clone(),
            notices: self.notices.clone(),
            scope: self.scope.child(label)?,
        }))
    }

    fn state(&self) -> State {
        self.notices.state()
    }

    /// Live until the backplane is closed.
    fn notices(&self) -> BoxStream<'static, Notice> {
        self.notices.listen()
    }

    /// Ready at once: nothing is ever under way to a bus.
    async fn flush(&self) -> Result<(), FlushError> {
        if self.registry.is_closed() {
            Err(FlushError::Closed)
        } else {
            Ok(())
        }
    }

    /// Ready at once, whatever the deadline.
    async fn close(&self, _deadline: Duration) -> CloseReport {
        // A connection that the close detaches is to find the backplane closed.
        self.notices.report(&Notice::State(State::Closed));
        self.registry.close();
        CloseReport::default()
    }
}

impl<H: Host> Clone for Local<H> {
    fn clone(&self) -> Self {
        Self {
            registry: self.registry.clone(),
            notices: self.notices.clone(),
            scope: self.scope.clone(),
        }
    }
}

impl<H: Host> Default for Local<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Host> fmt::Debug for Local<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("scope", &self.scope)
            .field("registry", &self.registry)
            .finish()
    }
}
