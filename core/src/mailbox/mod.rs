//! The bounded queue between a sink and the task that writes to the connection.
//!
//! ```
//! use futures::StreamExt;
//! use midplane_core::mailbox::{self, Capacity, Item, Overflow};
//! use midplane_core::{Event, Verdict};
//!
//! # type Lock = midplane::Lock;
//! let capacity = Capacity { messages: 2, ..Capacity::default() };
//! let (sender, receiver) = mailbox::channel::<Lock>(capacity, Overflow::DropOldest);
//! for text in ["a", "b", "c"] {
//!     assert_eq!(sender.push(&Event::text(text)), Verdict::Accepted);
//! }
//! drop(sender);
//! let items: Vec<Item> = futures::executor::block_on(receiver.collect());
//! assert_eq!(items, [Item::Lost(1), Item::Event(Event::text("b")), Item::Event(Event::text("c"))]);
//! ```

mod budget;
mod queue;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::hint::black_box;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use futures::Stream;
use lock_api::{Mutex, RawMutex};

use crate::event::Event;
use crate::missed::Missed;
use crate::registry::{Deliver, Sink, Taken, Verdict};
pub use budget::Budget;
use budget::Part;
use queue::Queue;

/// The bounds of a mailbox.
///
/// A bound of zero is taken as one for `messages` and lets nothing through for the other two.
/// `usize::MAX` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Events. 256 by default.
    pub messages: usize,
    /// Bytes of those events together, and for each of them 64 more, about what its place takes. 1 MiB
    /// by default. An event that counts more than that alone is never taken.
    pub bytes: usize,
    /// Control messages, which have a lane of their own. 64 by default.
    pub control: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            messages: 256,
            bytes: 1 << 20,
            control: 64,
        }
    }
}

/// The treatment of events when one of the two bounds is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest waiting events give way to the new one.
    DropOldest,
    /// The new event is refused: its verdict is [`Verdict::Full`].
    DropNewest,
    /// A waiting event gives way to a new one of its [key](Event::key), always and not at the bounds
    /// alone; where that does not make room, the oldest give way.
    KeepLatest,
    /// What waits is dropped, the mailbox is closed, and its reader sees the loss, a report that still waited, and
    /// then the end: the verdict is [`Verdict::Closed`].
    Disconnect,
}

/// Counts of what a mailbox did not deliver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxCounters {
    /// Events dropped at a bound. The reader learns of each by an [`Item::Lost`].
    pub dropped: u64,
    /// Events that a later one of their key replaced. That is no loss, and has no marker.
    pub superseded: u64,
    /// Events and control messages that were taken in and still waited when the reader was dropped.
    pub abandoned: u64,
}

/// One item of a mailbox, as its reader gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// An event, in the order of the pushes.
    Event(Event),
    /// A message of the control lane, before every event that still waits.
    Control(Event),
    /// The number of events that were dropped between the event before and the event after.
    Lost(u64),
    /// A report that events of other nodes may be missing: those that should have come before the event after. No
    /// policy drops it, and several between the same two events arrive as one.
    Missed(Box<Missed>),
}

/// The flag stands before the state, and `lock_api` puts the lock behind it: [`Deliver::warm`] looks at both ends.
#[repr(C)]
struct MailboxShared<R> {
    /// Whether anything happened since the reader asked to be woken: without it a reader that comes back to what
    /// it has just emptied would take the lock to find nothing.
    happened: AtomicBool,
    state: Mutex<R, MailboxState>,
}

struct MailboxState {
    queue: Queue,
    /// What this mailbox takes of what several hold together.
    part: Option<Part>,
    senders: usize,
    reader: Option<Waker>,
}

/// A mailbox that holds this much and does this when it is full.
///
/// An idle mailbox holds no buffer, or one for up to 16 items if it never had to hold more; one that was
/// drained after a burst gives the memory back.
#[must_use]
pub fn channel<R: RawMutex>(capacity: Capacity, overflow: Overflow) -> (Sender<R>, Receiver<R>) {
    open(capacity, overflow, None)
}

/// A [`channel`] that also keeps within the bytes that this budget has for several mailboxes.
#[must_use]
pub fn channel_within<R: RawMutex>(
    capacity: Capacity,
    overflow: Overflow,
    budget: Arc<Budget>,
) -> (Sender<R>, Receiver<R>) {
    open(capacity, overflow, Some(Part::new(budget)))
}

fn open<R: RawMutex>(
    capacity: Capacity,
    overflow: Overflow,
    part: Option<Part>,
) -> (Sender<R>, Receiver<R>) {
    let capacity = Capacity {
        messages: capacity.messages.max(1),
        ..capacity
    };
    let state = MailboxState {
        queue: Queue::new(capacity, overflow),
        part,
        senders: 1,
        reader: None,
    };
    let shared = Arc::new(MailboxShared {
        happened: AtomicBool::new(true),
        state: Mutex::new(state),
    });
    (
        Sender {
            shared: shared.clone(),
        },
        Receiver {
            shared,
            asked: None,
        },
    )
}

/// The end that events are pushed into; clones push into the same mailbox. When the last is dropped
/// the reader gets what waits, and then the end.
pub struct Sender<R: RawMutex> {
    shared: Arc<MailboxShared<R>>,
}

impl<R: RawMutex> Sender<R> {
    /// Puts an event in without waiting. [`Closed`](Verdict::Closed) when the reader is gone.
    pub fn push(&self, event: &Event) -> Verdict {
        self.change(|queue, most, removed| queue.push(event, most, removed))
    }

    /// Puts in a report that events may be missing, behind what waits. No bound and no [policy](Overflow) drops it:
    /// while nothing is read, there is at most one report before, between and behind the events that wait.
    /// [`Closed`](Verdict::Closed) when the reader is gone, or the mailbox was closed by [`Overflow::Disconnect`].
    pub fn missed(&self, missed: &Missed) -> Verdict {
        self.change(|queue, _, _| queue.missed(missed))
    }

    /// Puts a message into the control lane, which overtakes waiting events and is never shed.
    ///
    /// # Errors
    /// When the mailbox is closed or the lane holds as much as it may. The message is given back.
    pub fn control(&self, message: Event) -> Result<(), ControlError> {
        self.change(|queue, _, _| {
            queue
                .push_control(message)
                .map_err(|message| match queue.is_closed() {
                    true => ControlError::Closed(message),
                    false => ControlError::Full(message),
                })
        })
    }

    /// A sink that pushes into this mailbox.
    #[must_use]
    pub fn into_sink(self) -> Sink
    where
        R: Send + Sync + 'static,
    {
        Sink::of(self)
    }

    /// The counts of what was not delivered.
    #[must_use]
    pub fn counters(&self) -> MailboxCounters {
        self.shared.state.lock().queue.counters()
    }

    /// Changes the queue, which is given the bytes that it may hold beside its capacity, and wakes the reader; only then is dropped what the change removed.
    fn change<T>(&self, change: impl FnOnce(&mut Queue, usize, &mut Vec<Event>) -> T) -> T {
        let mut removed = Vec::new();
        let (outcome, reader) = {
            let mut state = self.shared.state.lock();
            let outcome = state.change(|queue, most| change(queue, most, &mut removed));
            (outcome, self.shared.happened(&mut state))
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        outcome
    }
}

impl<R: RawMutex> Clone for Sender<R> {
    fn clone(&self) -> Self {
        self.shared.state.lock().senders += 1;
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<R: RawMutex> Drop for Sender<R> {
    fn drop(&mut self) {
        let reader = {
            let mut state = self.shared.state.lock();
            state.senders -= 1;
            if state.senders > 0 {
                return;
            }
            state.queue.close();
            self.shared.happened(&mut state)
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl MailboxState {
    /// Changes the queue, which is given the bytes that it may hold beside its capacity.
    fn change<T>(&mut self, change: impl FnOnce(&mut Queue, usize) -> T) -> T {
        let Some(part) = &mut self.part else {
            return change(&mut self.queue, usize::MAX);
        };
        let outcome = change(&mut self.queue, part.most());
        part.hold(self.queue.bytes());
        outcome
    }
}

impl<R> MailboxShared<R> {
    /// The reader, if it asked to be woken.
    fn happened(&self, state: &mut MailboxState) -> Option<Waker> {
        let reader = state.reader.take()?;
        // Before the reader is woken it must be there to be seen.
        self.happened.store(true, Ordering::Release);
        Some(reader)
    }
}

impl<R: RawMutex + Send + Sync> Deliver for Sender<R> {
    fn deliver(&self, event: &Event) -> Taken {
        self.change(|queue, most, removed| Taken {
            verdict: queue.push(event, most, removed),
            // A queue that drops what waits has no more to lose by what comes sooner.
            fills: removed.is_empty() && queue.is_filling(most),
        })
    }

    fn missed(&self, missed: &Missed) -> Verdict {
        self.missed(missed)
    }

    fn warm(&self) -> bool {
        black_box(self.shared.happened.load(Ordering::Relaxed));
        black_box(self.shared.state.is_locked());
        true
    }
}

impl<R: RawMutex> fmt::Debug for Sender<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

/// The end that is read: a [`Stream`], or by batches. Dropping it closes the mailbox, and drops and
/// [counts](MailboxCounters::abandoned) what waits.
pub struct Receiver<R: RawMutex> {
    shared: Arc<MailboxShared<R>>,
    /// The waker that was left last.
    asked: Option<Waker>,
}

impl<R: RawMutex> Receiver<R> {
    /// Waits until something is in the mailbox, appends up to `most` items to `batch` and gives their
    /// number: zero means that the mailbox is closed and empty. `most` is taken as at least one.
    ///
    /// Cancelling the future loses nothing.
    pub async fn batch(&mut self, batch: &mut Vec<Item>, most: usize) -> usize {
        poll_fn(|context| self.poll_batch(context, batch, most)).await
    }

    /// [`batch`](Self::batch) by polling.
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
        self.poll_take(context, |queue| {
            let count = queue.drain(most.max(1), bytes, batch);
            (count > 0).then_some(count)
        })
        .map(Option::unwrap_or_default)
    }

    /// What `take` finds, or `None` once the mailbox is closed and empty.
    fn poll_take<T>(
        &mut self,
        context: &mut Context<'_>,
        take: impl FnOnce(&mut Queue) -> Option<T>,
    ) -> Poll<Option<T>> {
        let waker = context.waker();
        let asked = matches!(&self.asked, Some(asked) if asked.will_wake(waker));
        if asked && !self.shared.happened.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let mut state = self.shared.state.lock();
        let taken = state.change(|queue, _| take(queue));
        if state.queue.is_closed() || (taken.is_some() && !state.queue.is_empty()) {
            return Poll::Ready(taken);
        }
        // A reader that emptied the mailbox comes back, and then needs no lock to learn that it still is empty.
        let replaced = state.reader.replace(waker.clone());
        self.shared.happened.store(false, Ordering::Relaxed);
        drop(state);
        let before = match asked {
            true => None,
            false => self.asked.replace(waker.clone()),
        };
        // Either may own the last handle of a task, and the task a sender of this mailbox.
        drop((replaced, before));
        match taken {
            Some(taken) => Poll::Ready(Some(taken)),
            None => Poll::Pending,
        }
    }

    /// The counts of what was not delivered.
    #[must_use]
    pub fn counters(&self) -> MailboxCounters {
        self.shared.state.lock().queue.counters()
    }
}

/// One item at a time, each under the lock; batches take it less often.
impl<R: RawMutex> Stream for Receiver<R> {
    type Item = Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        self.get_mut().poll_take(context, Queue::take)
    }
}

/// Nothing in it is pinned.
impl<R: RawMutex> Unpin for Receiver<R> {}

impl<R: RawMutex> Drop for Receiver<R> {
    fn drop(&mut self) {
        let mut removed = Vec::new();
        let _reader = {
            let mut state = self.shared.state.lock();
            state.change(|queue, _| queue.abandon(&mut removed));
            state.part = None;
            state.reader.take()
        };
    }
}

impl<R: RawMutex> fmt::Debug for Receiver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

/// Why a control message was not taken. It is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlError {
    /// The lane holds as much as its capacity allows; reading makes room.
    Full(Event),
    /// The mailbox is closed for good.
    Closed(Event),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the control lane of the mailbox is full"),
            Self::Closed(_) => f.write_str("the mailbox is closed"),
        }
    }
}

impl core::error::Error for ControlError {}
