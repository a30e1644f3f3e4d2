//! What arrived on a link and waits to be read, bounded in bytes, and the reason for which the link is over.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::task::{Context, Poll, Waker};

use lock_api::{Mutex, RawMutex};

use super::error::{BusError, BusErrorKind};
use super::frame::Inbound;

/// What a waiting frame costs beside its bytes, so that empty frames are bounded too.
const OVERHEAD: usize = size_of::<Inbound>();

/// What stands between a link's connection and its stream of frames. For adapters, on any lock.
///
/// The connection pushes what arrives and says when and why the link is over; the stream polls. Wakers and frames are
/// dropped with no lock held.
pub struct Inbox<R> {
    limit: usize,
    state: Mutex<R, State>,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Inbound>,
    bytes: usize,
    end: Option<End>,
    /// The stream yielded the reason for the end.
    reported: bool,
    /// Nobody reads any more.
    abandoned: bool,
    reader: Option<Waker>,
}

/// Why a link is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The link was closed on purpose.
    Closed,
    /// The link failed in this way, for this reason, which holds no secret.
    Failed(BusErrorKind, String),
}

impl End {
    /// The error of a call on a link that is over.
    #[must_use]
    pub fn error(&self) -> BusError {
        match self {
            Self::Closed => BusError::new(BusErrorKind::Unreachable, "the link was closed"),
            Self::Failed(kind, message) => BusError::new(*kind, message.clone()),
        }
    }
}

impl<R: RawMutex> Inbox<R> {
    /// An empty queue that holds this many bytes; each frame counts as its length and some 40 bytes more.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::new(State::default()),
        }
    }

    /// Adds a frame, and wakes the reader. A frame that does not fit ends the link.
    pub fn push(&self, inbound: Inbound) {
        if let Some(reader) = self.add(inbound) {
            reader.wake();
        }
    }

    /// Adds a frame, and gives the reader to be woken: for callers that hold a lock, as a waker may run anything. A
    /// frame that does not fit ends the link.
    #[must_use]
    pub fn add(&self, inbound: Inbound) -> Option<Waker> {
        let mut state = self.state.lock();
        if state.end.is_some() || state.abandoned {
            return None;
        }
        let bytes = state.bytes + inbound.frame.len() + OVERHEAD;
        if bytes > self.limit {
            let message = format!(
                "more than {} bytes arrived and were not read; see `with_queue`",
                self.limit
            );
            state.end = Some(End::Failed(BusErrorKind::Overflow, message));
        } else {
            state.bytes = bytes;
            state.frames.push_back(inbound);
        }
        state.reader.take()
    }

    /// Ends the link. The first reason stays.
    pub fn end(&self, end: End) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        state.end = Some(end);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether the link is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state.lock().end.is_some()
    }

    /// Why the link is over, if it is.
    #[must_use]
    pub fn ended(&self) -> Option<End> {
        self.state.lock().end.clone()
    }

    /// Drops what waits, and everything that arrives from now on: nobody reads it.
    pub fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        state.bytes = 0;
        let frames = core::mem::take(&mut state.frames);
        drop(state);
        drop(frames);
    }

    /// What waits, then why the link failed, then the end.
    pub fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Result<Inbound, BusError>>> {
        let mut state = self.state.lock();
        if let Some(inbound) = state.frames.pop_front() {
            state.bytes -= inbound.frame.len() + OVERHEAD;
            return Poll::Ready(Some(Ok(inbound)));
        }
        match &state.end {
            Some(end @ End::Failed(..)) if !state.reported => {
                let error = end.error();
                state.reported = true;
                Poll::Ready(Some(Err(error)))
            }
            Some(_) => Poll::Ready(None),
            None => {
                let replaced = state.reader.replace(cx.waker().clone());
                drop(state);
                drop(replaced);
                Poll::Pending
            }
        }
    }
}

impl<R> fmt::Debug for Inbox<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bytes::Bytes;
    use futures::task::noop_waker_ref;

    use super::*;
    use crate::bus::Lane;

    type Inbox = super::Inbox<midplane::Lock>;

    fn inbound(bytes: usize) -> Inbound {
        Inbound {
            lane: Lane(0),
            frame: Bytes::from(vec![0; bytes]),
        }
    }

    fn next(queue: &Inbox) -> Poll<Option<Result<Inbound, BusErrorKind>>> {
        let cx = Context::from_waker(noop_waker_ref());
        queue
            .poll_next(&cx)
            .map(|next| next.map(|result| result.map_err(|error| error.kind())))
    }

    #[test]
    fn a_frame_that_does_not_fit_ends_the_link_after_what_waited() {
        let queue = Inbox::new(136 + OVERHEAD);
        assert!(next(&queue).is_pending());
        queue.push(inbound(136));
        assert!(next(&queue).is_ready());
        queue.push(inbound(136));
        queue.push(inbound(0));
        queue.push(inbound(0));
        assert_eq!(next(&queue), Poll::Ready(Some(Ok(inbound(136)))));
        assert_eq!(next(&queue), Poll::Ready(Some(Err(BusErrorKind::Overflow))));
        assert_eq!(next(&queue), Poll::Ready(None));
    }

    #[test]
    fn the_first_reason_stays() {
        let queue = Inbox::new(136 + OVERHEAD);
        queue.end(End::Closed);
        queue.end(End::Failed(BusErrorKind::Denied, String::new()));
        assert_eq!(next(&queue), Poll::Ready(None));
    }

    #[test]
    fn an_abandoned_queue_holds_nothing() {
        let queue = Inbox::new(136 + OVERHEAD);
        queue.push(inbound(100));
        queue.abandon();
        for _ in 0..10 {
            queue.push(inbound(100));
        }
        assert!(queue.ended().is_none());
        assert!(next(&queue).is_pending());
    }
}
