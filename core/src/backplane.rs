//! The trait that services program against.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::audience::Audience;
use crate::event::Event;
use crate::id::IdError;
use crate::notice::Notice;
use crate::question::{Answers, Question};
use crate::receipt::{CloseReport, FlushError, Receipt, State};
use crate::registry::{Attachment, Sink};
use crate::target::ConnectionId;

/// Connections on one side, publishers on the other, on one node or many.
///
/// A value is a handle inside one [`Scope`](crate::Scope); every connection and target it names is in that scope.
/// Two events published one after the other through one handle reach each connection in that order;
/// an event published from inside a sink is delivered before the publish around it goes on.
#[async_trait]
pub trait Backplane: Send + Sync + fmt::Debug + 'static {
    /// Attaches a connection and joins it to its own target. A connection that has the id in this
    /// scope is detached first, and the new one inherits nothing from it. Once the backplane is
    /// closed, the attachment is detached from the start and the sink is dropped.
    fn attach(&self, id: ConnectionId, sink: Sink) -> Attachment;

    /// Delivers the event to every connection of the audience, each once: to those of this node
    /// before it returns, to those of other nodes as the receipt's [`Relay`](crate::Relay) says. It never waits for
    /// a bus.
    #[must_use = "the receipt says whether the event was delivered and relayed"]
    fn publish(&self, audience: &Audience, event: &Event) -> Receipt;

    /// Asks every node, this one first, and waits until each member answered or the deadline has passed;
    /// see [`Ask`](crate::Ask) for the questions by name. The answers name the nodes that did not. A future that is
    /// dropped may or may not have asked the others.
    async fn ask(&self, question: Question, deadline: Duration) -> Answers;

    /// A handle inside the scope that `label` names within this handle's own. What the handle attaches or
    /// publishes to is in that scope or below; it can name nothing beside or above. The methods
    /// below are not of a scope but of the whole backplane, whichever handle is asked.
    ///
    /// # Errors
    /// When the label is empty or the path grows past [`MAX_ID_BYTES`](crate::MAX_ID_BYTES).
    fn scoped(&self, label: &str) -> Result<Arc<dyn Backplane>, IdError>;

    /// What the backplane can do at this moment, whichever handle is asked.
    fn state(&self) -> State;

    /// What happens from now on that a host should know, the state first: see [`Notice`]. The stream ends
    /// behind [`State::Closed`]. What a slow listener does not take is counted and dropped.
    fn notices(&self) -> BoxStream<'static, Notice>;

    /// Waits until every event accepted for relay before the call was handed to the bus.
    ///
    /// # Errors
    /// When the backplane is closed, or closes meanwhile, with events not handed over.
    async fn flush(&self) -> Result<(), FlushError>;

    /// Ends the backplane for every handle: nothing more is attached or published, what was accepted
    /// for relay is handed to the bus within the deadline, and every connection is detached, without
    /// waiting for sinks that run. Closing twice reports the second time that nothing was left.
    async fn close(&self, deadline: Duration) -> CloseReport;
}

const _: fn(&dyn Backplane) = |_| ();
