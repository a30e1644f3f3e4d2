//! What arrived and waits to be taken, bounded in bytes, and the end of the session.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use midplane_core::bus::{BusError, BusErrorKind, Inbound};

/// What a waiting frame costs beside its bytes, so that empty frames are bounded too.
const OVERHEAD: usize = size_of::<Inbound>();

/// A queue between the connection and the stream of frames.
pub(crate) struct Inbox {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Inbound>,
    bytes: usize,
    end: Option<End>,
    /// The stream said why it ended.
    told: bool,
    /// Nobody reads any more.
    abandoned: bool,
    reader: Option<Waker>,
}

/// Why a session is over.
#[derive(Clone)]
pub(crate) enum End {
    /// It was closed on purpose.
    Closed,
    /// It failed.
    Failed(BusErrorKind, String),
}

impl End {
    /// The error of a call on a session that is over.
    pub(crate) fn error(&self) -> BusError {
        match self {
            Self::Closed => BusError::new(BusErrorKind::Unreachable, "the session was closed"),
            Self::Failed(kind, message) => BusError::new(*kind, message.clone()),
        }
    }
}

impl Inbox {
    /// An empty queue that holds this many bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    /// Nothing under the lock can panic half-way, so a poisoned one is as good as new.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame. One that does not fit ends the session.
    pub(crate) fn push(&self, inbound: Inbound) {
        let mut state = self.state();
        if state.end.is_some() || state.abandoned {
            return;
        }
        let bytes = state.bytes + inbound.frame.len() + OVERHEAD;
        if bytes > self.limit {
            drop(state);
            self.end(End::Failed(
                BusErrorKind::Overflow,
                format!(
                    "more than {} bytes arrived and were not read; see `with_queue`",
                    self.limit
                ),
            ));
            return;
        }
        state.bytes = bytes;
        state.frames.push_back(inbound);
        wake(state);
    }

    /// Ends the session. The first reason stays.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.state();
        if state.end.is_none() {
            state.end = Some(end);
            wake(state);
        }
    }

    /// Why the session is over, if it is.
    pub(crate) fn ended(&self) -> Option<End> {
        self.state().end.clone()
    }

    /// Lets go of what waits, and of all that comes.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.abandoned = true;
        state.bytes = 0;
        let frames = std::mem::take(&mut state.frames);
        drop(state);
        drop(frames);
    }

    /// What waits, then why the session failed, then the end.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Result<Inbound, BusError>>> {
        let mut state = self.state();
        if let Some(inbound) = state.frames.pop_front() {
            state.bytes -= inbound.frame.len() + OVERHEAD;
            return Poll::Ready(Some(Ok(inbound)));
        }
        match &state.end {
            Some(end @ End::Failed(..)) if !state.told => {
                let error = end.error();
                state.told = true;
                Poll::Ready(Some(Err(error)))
            }
            Some(_) => Poll::Ready(None),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Wakes the reader with the lock let go.
fn wake(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::task::noop_waker_ref;
    use midplane_core::bus::Lane;

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
    fn a_frame_that_does_not_fit_ends_the_session_after_what_waited() {
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
