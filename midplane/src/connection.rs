//! A connection with its mailbox, as its reader holds it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use futures::{FutureExt, Stream, StreamExt};
use midplane_core::{
    AssociateError, Attachment, ConnectionEnd, ConnectionId, Event, Missed, Reach, Target, Verdict,
};

use crate::error::Error;
use crate::fresh::fresh_id;
use crate::into::{IntoEvent, IntoTarget};
use crate::mailbox::{self, Budget, Capacity, Overflow};
use crate::plane::Plane;

/// One item that a [`Connection`] is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// An event, in its order.
    Event(Event),
    /// A number of events that were dropped here, since they came faster than they were read.
    Lost(u64),
    /// Events of other nodes may be missing here: those that should have come before the next event. What is needed of
    /// them is to be read again from where it is kept.
    Missed(Box<Missed>),
}

/// How a connection is attached: [`Plane::attach_with`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AttachOptions {
    pub(crate) id: Option<ConnectionId>,
    capacity: Capacity,
    overflow: Option<Overflow>,
    budget: Option<Arc<Budget>>,
}

impl AttachOptions {
    /// A fresh id, a mailbox of 256 events and 1 MiB, of which the oldest give way.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the connection this id. A connection that has it is detached, so let no client choose it, and give no user's
    /// id: a second tab would end the first.
    #[must_use]
    pub fn id(mut self, id: ConnectionId) -> Self {
        self.id = Some(id);
        self
    }

    /// Bounds the mailbox.
    #[must_use]
    pub fn capacity(mut self, capacity: Capacity) -> Self {
        self.capacity = capacity;
        self
    }

    /// What happens when the mailbox is full; [`Overflow::DropOldest`] unless it is set.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = Some(overflow);
        self
    }

    /// Bounds what the mailboxes of all connections with this budget hold together.
    #[must_use]
    pub fn budget(mut self, budget: Arc<Budget>) -> Self {
        self.budget = Some(budget);
        self
    }

    pub(crate) fn mailbox(&self) -> (mailbox::Sender, mailbox::Receiver) {
        let overflow = self.overflow.unwrap_or(Overflow::DropOldest);
        match &self.budget {
            Some(budget) => mailbox::channel_within(self.capacity, overflow, budget.clone()),
            None => mailbox::channel(self.capacity, overflow),
        }
    }
}

/// How connections come to be.
impl Plane {
    /// Attaches a connection with a fresh id and a mailbox of 256 events, of which the oldest give way. On a closed plane
    /// it is at its end.
    #[must_use = "dropping the connection detaches it"]
    pub fn attach(&self) -> Connection {
        self.attach_with(AttachOptions::default())
    }

    /// Attaches a connection with these options.
    #[must_use = "dropping the connection detaches it"]
    pub fn attach_with(&self, options: AttachOptions) -> Connection {
        let (sender, receiver) = options.mailbox();
        let id = options.id.unwrap_or_else(fresh_id);
        let attachment = self.backplane().attach(id, sender.into_sink());
        Connection::new(self.clone(), attachment, receiver)
    }
}

/// A connection: a stream of [items](Item), which ends when the connection does.
///
/// Waiting for the next item and giving up loses nothing. Dropping the connection detaches it. It keeps its plane open.
pub struct Connection {
    plane: Plane,
    attachment: Arc<Attachment>,
    receiver: mailbox::Receiver,
    /// The mailbox has ended.
    ended: bool,
    /// The events of which the reader was told that they are lost.
    told: u64,
    /// Room for a batch of the mailbox.
    taken: Vec<mailbox::Item>,
}

/// Items that room is kept for between two batches.
const KEPT: usize = 16;

impl Connection {
    pub(crate) fn new(plane: Plane, attachment: Attachment, receiver: mailbox::Receiver) -> Self {
        Self {
            plane,
            attachment: Arc::new(attachment),
            receiver,
            ended: false,
            told: 0,
            taken: Vec::new(),
        }
    }

    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> &ConnectionId {
        self.attachment.id()
    }

    /// The plane that the connection is attached to.
    #[must_use]
    pub fn plane(&self) -> &Plane {
        &self.plane
    }

    /// What changes the connection from elsewhere. It does not keep the connection attached.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            id: self.id().clone(),
            attachment: Arc::downgrade(&self.attachment),
        }
    }

    /// Joins the connection to the target: see [`Handle::associate`].
    pub fn associate(&self, target: impl IntoTarget) -> Associate {
        associate(&self.attachment, target)
    }

    /// Takes the connection out of the target; false if it was not in it.
    ///
    /// # Errors
    /// When there is no such target.
    pub fn dissociate(&self, target: impl IntoTarget) -> Result<bool, Error> {
        Ok(self.attachment.dissociate(&target.into_target()?))
    }

    /// Detaches the connection, and waits until nothing runs any more that could tell it something.
    pub async fn detach(self) {
        self.attachment.detach().await;
    }

    /// Why the connection ended; `None` while it is attached.
    #[must_use]
    pub fn end(&self) -> Option<ConnectionEnd> {
        let end = self.attachment.end();
        end.or_else(|| self.ended.then_some(ConnectionEnd::SinkClosed))
    }

    /// The attachment of the core, for what this crate has no words for. Dropping the connection ends it.
    #[must_use]
    pub fn attachment(&self) -> &Arc<Attachment> {
        &self.attachment
    }

    /// Takes up to `most` items at once into `batch`, at least 1, and gives their number: zero at the end of the connection.
    pub fn poll_batch(
        &mut self,
        context: &mut Context<'_>,
        batch: &mut Vec<Item>,
        most: usize,
    ) -> Poll<usize> {
        self.poll_batch_within(context, batch, most, usize::MAX)
    }

    /// [`poll_batch`](Self::poll_batch) of a reader that holds no more than about `bytes` of events: the one that reaches
    /// the bound is the last that it takes.
    pub fn poll_batch_within(
        &mut self,
        context: &mut Context<'_>,
        batch: &mut Vec<Item>,
        most: usize,
        bytes: usize,
    ) -> Poll<usize> {
        let mut taken = std::mem::take(&mut self.taken);
        let count = self
            .receiver
            .poll_batch_within(context, &mut taken, most, bytes);
        for item in taken.drain(..) {
            batch.extend(self.item(item));
        }
        if taken.capacity() <= KEPT {
            self.taken = taken;
        }
        self.ended |= count == Poll::Ready(0);
        count
    }

    fn item(&mut self, item: mailbox::Item) -> Option<Item> {
        Some(match item {
            mailbox::Item::Lost(events) => {
                self.told += events;
                self.plane.mailboxes().lost(events);
                Item::Lost(events)
            }
            mailbox::Item::Missed(missed) => Item::Missed(missed),
            mailbox::Item::Event(event) | mailbox::Item::Control(event) => Item::Event(event),
            // A kind of item that a mailbox of this crate does not have.
            _ => return None,
        })
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Item>> {
        loop {
            let Some(item) = ready!(Pin::new(&mut self.receiver).poll_next(context)) else {
                self.ended = true;
                return Poll::Ready(None);
            };
            if let Some(item) = self.item(item) {
                return Poll::Ready(Some(item));
            }
        }
    }
}

impl Stream for Connection {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        self.poll_item(context)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A handle that is in a call at this moment keeps the attachment for as long as that takes.
        drop(self.attachment.detach());
        let waiting = std::iter::from_fn(|| self.receiver.next().now_or_never().flatten());
        let events = waiting.filter(|item| matches!(item, mailbox::Item::Event(_)));
        let abandoned = events.count() as u64;
        let mut counters = self.receiver.counters();
        counters.abandoned += abandoned;
        self.plane.mailboxes().ended(counters, self.told);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("attachment", &self.attachment)
            .finish_non_exhaustive()
    }
}

/// What changes a [`Connection`] from elsewhere. Clones change the same connection; none keeps it attached.
#[derive(Debug, Clone)]
pub struct Handle {
    id: ConnectionId,
    attachment: Weak<Attachment>,
}

impl Handle {
    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> &ConnectionId {
        &self.id
    }

    /// The targets that the connection is in, its own first; none once it has ended.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        self.attachment
            .upgrade()
            .map_or_else(Vec::new, |attachment| attachment.targets())
    }

    /// Joins the connection to the target. It acts when it is called: a publish on this node that begins later finds the
    /// connection there. The future says how far that reaches, once the bus has confirmed the subscription, or at once where
    /// it need not be asked or is away; it undoes nothing when it is dropped.
    ///
    /// A connection is in at most [1,024 targets](midplane_core::DEFAULT_TARGETS_PER_CONNECTION) beside its own, unless the
    /// [builder](crate::Builder::with) has a registry with another limit. What is refused by an [`AssociateError`] leaves the
    /// connection as it was.
    pub fn associate(&self, target: impl IntoTarget) -> Associate {
        match self.attachment.upgrade() {
            Some(attachment) => associate(&attachment, target),
            None => Associate(Err(Some(AssociateError::Detached.into()))),
        }
    }

    /// Takes the connection out of the target; false if it was not in it, or has ended.
    ///
    /// # Errors
    /// When there is no such target.
    pub fn dissociate(&self, target: impl IntoTarget) -> Result<bool, Error> {
        let target = target.into_target()?;
        let attachment = self.attachment.upgrade();
        Ok(attachment.is_some_and(|attachment| attachment.dissociate(&target)))
    }

    /// Tells the connection alone, behind what it was told before: see [`Attachment::push`].
    ///
    /// # Errors
    /// When it is no event.
    pub fn push(&self, event: impl IntoEvent) -> Result<Verdict, Error> {
        let event = event.into_event()?;
        let attachment = self.attachment.upgrade();
        Ok(attachment.map_or(Verdict::Closed, |attachment| attachment.push(&event)))
    }

    /// Why the connection ended; `None` while it is attached, and when it is dropped.
    #[must_use]
    pub fn end(&self) -> Option<ConnectionEnd> {
        self.attachment.upgrade()?.end()
    }

    /// Detaches the connection: its stream ends behind what waits.
    pub fn detach(&self) {
        if let Some(attachment) = self.attachment.upgrade() {
            drop(attachment.detach());
        }
    }
}

fn associate(attachment: &Attachment, target: impl IntoTarget) -> Associate {
    let target = target.into_target().map_err(Some);
    Associate(target.map(|target| attachment.associate(&target)))
}

/// Resolves to how far an association [reaches](Reach), or to why there is none: [`Handle::associate`].
#[derive(Debug)]
#[must_use = "the association may have failed"]
pub struct Associate(Result<midplane_core::Associate, Option<Error>>);

impl Future for Associate {
    type Output = Result<Reach, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(associate) => associate.poll_unpin(context).map_err(Error::from),
            // Polled again behind its end it says that the connection is gone.
            Err(error) => Poll::Ready(Err(error
                .take()
                .unwrap_or(Error::Associate(AssociateError::Detached)))),
        }
    }
}
