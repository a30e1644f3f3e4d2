//! What waits in a session, bounded.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use midplane_core::bus::{BusError, BusErrorKind, Inbound, Lane};
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};

/// What a frame that waits is counted as beside its bytes.
const OVERHEAD: usize = size_of::<Inbound>();

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// We closed it.
    Closed,
    /// One of its connections is gone.
    Lost,
    /// A call on it failed, and its caller was told why.
    Failed,
    /// PUBLISH answered that we do not hear ourselves.
    Deaf,
    /// More came than may wait.
    Overflow,
    /// A message was not what we subscribed to.
    Nonsense,
}

impl End {
    pub(crate) fn error(self, address: &str) -> BusError {
        let (kind, what) = match self {
            Self::Closed => (BusErrorKind::Unreachable, "was closed"),
            Self::Lost => (BusErrorKind::Unreachable, "lost its connection"),
            Self::Failed => (BusErrorKind::Unreachable, "ended when a call on it failed"),
            Self::Deaf => (
                BusErrorKind::Unreachable,
                "does not hear itself: the server has ended its subscription",
            ),
            Self::Overflow => (
                BusErrorKind::Overflow,
                "is read too slowly: more waited in it than `with_queue` allows",
            ),
            Self::Nonsense => (
                BusErrorKind::Protocol,
                "was sent a message on a channel that it did not subscribe to",
            ),
        };
        BusError::new(kind, format!("the session with redis at {address} {what}"))
    }
}

/// The queue between the driver's task and the stream.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// The prefix of the channels, with the colon.
    prefix: String,
    /// How many bytes may wait, [`OVERHEAD`] counted for each frame.
    bound: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Inbound>,
    waiting: usize,
    end: Option<End>,
    waker: Option<Waker>,
}

impl Inbox {
    pub(crate) fn new(prefix: &str, bound: usize) -> Self {
        Self {
            prefix: format!("{prefix}:"),
            bound,
            state: Mutex::default(),
        }
    }

    pub(crate) fn channel(&self, lane: Lane) -> String {
        format!("{}{}", self.prefix, lane.0)
    }

    /// Takes what the driver hands over, in the driver's task.
    pub(crate) fn take(&self, push: PushInfo) {
        match push.kind {
            PushKind::Message => match self.parse(push.data) {
                Some(inbound) => self.push(inbound),
                None => self.end(End::Nonsense),
            },
            PushKind::Disconnection => self.end(End::Lost),
            // Acknowledgements, which the driver itself waits for, and what a server may add one day.
            _ => {}
        }
    }

    fn parse(&self, data: Vec<Value>) -> Option<Inbound> {
        let [Value::BulkString(channel), Value::BulkString(frame)] =
            <[Value; 2]>::try_from(data).ok()?
        else {
            return None;
        };
        let lane = channel.strip_prefix(self.prefix.as_bytes())?;
        let lane = std::str::from_utf8(lane).ok()?.parse().ok()?;
        Some(Inbound {
            lane: Lane(lane),
            frame: Bytes::from(frame),
        })
    }

    fn push(&self, inbound: Inbound) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        let cost = inbound.frame.len() + OVERHEAD;
        if state.waiting + cost <= self.bound {
            state.waiting += cost;
            state.queue.push_back(inbound);
        } else {
            state.end = Some(End::Overflow);
        }
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ends the session, unless it has ended.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.state.lock();
        state.end.get_or_insert(end);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn ended(&self) -> Option<End> {
        self.state.lock().end
    }

    /// The next frame, or how it ended once there is none left.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Inbound, End>> {
        let mut state = self.state.lock();
        if let Some(inbound) = state.queue.pop_front() {
            state.waiting -= inbound.frame.len() + OVERHEAD;
            return Poll::Ready(Ok(inbound));
        }
        if let Some(end) = state.end {
            return Poll::Ready(Err(end));
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
