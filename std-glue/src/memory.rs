//! The bus inside one process.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use futures::stream::{Stream, StreamExt};
use midplane_core::bus::{
    Bus, BusError, BusErrorKind, Inbound, Lane, Limits, Link, Outbound, Transmit,
};
use parking_lot::Mutex;

/// What a frame that waits is counted as beside its bytes, so that empty frames are bounded too.
const OVERHEAD: usize = size_of::<Inbound>();

/// A [`Bus`] between the nodes of one process, and the reference for every other adapter.
///
/// Clones share one hub, and so hear each other; two calls of [`new`](Self::new) never do. It needs no
/// runtime: a send has reached every link by the time it returns.
///
/// # Mapping
///
/// A lane is a number in the set that each link keeps. One lock makes every send one step, so all
/// links see the frames of all senders in the same order.
///
/// # Limits
///
/// Frames of at most 1 MiB, and at most 16 MiB waiting in a link: both can be set. A link that
/// would hold more yields what it has and then ends with [`Overflow`](BusErrorKind::Overflow).
///
/// # What happens on disconnect
///
/// Nothing disconnects by itself. [`cut`](Self::cut) and [`block`](Self::block) do, for tests of what is
/// built on a bus: what waits in a link is still yielded, then an error.
#[derive(Debug, Clone)]
pub struct Memory {
    hub: Arc<Hub>,
    frame: usize,
    queue: usize,
}

impl Memory {
    /// A hub of its own, with nobody on it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hub: Arc::default(),
            frame: 1 << 20,
            queue: 16 << 20,
        }
    }

    /// The same hub, taking frames of at most this many bytes through this handle.
    #[must_use]
    pub fn with_frame_limit(mut self, bytes: usize) -> Self {
        self.frame = bytes;
        self
    }

    /// The same hub, letting at most this many bytes wait in each link that this handle opens. A frame
    /// counts as its length and some 40 bytes more.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }

    /// Ends every link, as a server that restarts does.
    pub fn cut(&self) {
        let links = std::mem::take(&mut self.hub.state.lock().links);
        for inbox in links {
            inbox.end(End::Cut);
        }
    }

    /// Ends every link and refuses new ones until [`unblock`](Self::unblock), as a server that is down
    /// does.
    pub fn block(&self) {
        self.hub.state.lock().blocked = true;
        self.cut();
    }

    /// Lets links be opened again.
    pub fn unblock(&self) {
        self.hub.state.lock().blocked = false;
    }

    /// How many links are open, on the hub as a whole.
    #[must_use]
    pub fn links(&self) -> usize {
        self.hub.state.lock().links.len()
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Bus for Memory {
    fn limits(&self) -> Limits {
        Limits::new(self.frame)
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let inbox = Arc::new(Inbox {
            state: Mutex::default(),
            bound: self.queue,
        });
        {
            let mut state = self.hub.state.lock();
            if state.blocked {
                return Err(BusError::new(
                    BusErrorKind::Unreachable,
                    "the memory bus is blocked until `unblock` is called",
                ));
            }
            state.links.push(inbox.clone());
        }
        let membership = Arc::new(Membership {
            hub: self.hub.clone(),
            inbox,
        });
        Ok(Link {
            frames: Frames {
                membership: membership.clone(),
                fused: false,
            }
            .boxed(),
            transmit: Box::new(Sender {
                membership,
                frame: self.frame,
            }),
        })
    }
}

/// What the clones of one bus share.
#[derive(Debug, Default)]
struct Hub {
    state: Mutex<HubState>,
}

#[derive(Debug, Default)]
struct HubState {
    links: Vec<Arc<Inbox>>,
    blocked: bool,
}

/// Why a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Cut,
    Overflow,
}

impl End {
    fn error(self) -> BusError {
        match self {
            Self::Closed => BusError::new(BusErrorKind::Unreachable, "the link was closed"),
            Self::Cut => BusError::new(BusErrorKind::Unreachable, "the memory bus was cut"),
            Self::Overflow => BusError::new(
                BusErrorKind::Overflow,
                "more waited in the link than `with_queue` allows",
            ),
        }
    }
}

/// What one link hears, and what waits in it.
#[derive(Debug)]
struct Inbox {
    state: Mutex<InboxState>,
    /// How many bytes may wait, [`OVERHEAD`] counted for each frame.
    bound: usize,
}

#[derive(Debug, Default)]
struct InboxState {
    lanes: BTreeSet<Lane>,
    queue: VecDeque<Inbound>,
    waiting: usize,
    end: Option<End>,
    waker: Option<Waker>,
}

impl Inbox {
    /// Takes the frame if its lane is subscribed. It says whether the link lives, and leaves its
    /// reader's waker to be woken once no lock is held: a waker may run what drops a link.
    fn push(&self, frame: &Outbound, wakers: &mut Vec<Waker>) -> bool {
        let mut state = self.state.lock();
        if state.end.is_some() || !state.lanes.contains(&frame.lane) {
            return state.end.is_none();
        }
        let cost = frame.frame.len() + OVERHEAD;
        let fits = state.waiting + cost <= self.bound;
        if fits {
            state.waiting += cost;
            state.queue.push_back(Inbound {
                lane: frame.lane,
                frame: frame.frame.clone(),
            });
        } else {
            state.end = Some(End::Overflow);
        }
        wakers.extend(state.waker.take());
        fits
    }

    /// Ends the link, unless it has ended.
    fn end(&self, end: End) {
        let mut state = self.state.lock();
        state.end.get_or_insert(end);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn alive(&self) -> Result<(), BusError> {
        self.state.lock().end.map_or(Ok(()), |end| Err(end.error()))
    }
}

/// A link's place on the hub, given up when both halves are gone.
#[derive(Debug)]
struct Membership {
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
}

impl Membership {
    fn leave(&self) {
        let mut hub = self.hub.state.lock();
        hub.links.retain(|inbox| !Arc::ptr_eq(inbox, &self.inbox));
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave();
    }
}

#[derive(Debug)]
struct Sender {
    membership: Arc<Membership>,
    frame: usize,
}

#[async_trait]
impl Transmit for Sender {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.membership.inbox.alive()?;
        self.membership.inbox.state.lock().lanes.extend(lanes);
        Ok(())
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.membership.inbox.alive()?;
        let mut state = self.membership.inbox.state.lock();
        for lane in lanes {
            state.lanes.remove(lane);
        }
        Ok(())
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        self.membership.inbox.alive()?;
        if let Some(large) = frames.iter().find(|frame| frame.frame.len() > self.frame) {
            return Err(BusError::new(
                BusErrorKind::TooLarge,
                format!(
                    "a frame of {} bytes is larger than the {} of `with_frame_limit`",
                    large.frame.len(),
                    self.frame
                ),
            ));
        }
        let mut wakers = Vec::new();
        {
            let mut hub = self.membership.hub.state.lock();
            for frame in frames {
                hub.links.retain(|inbox| inbox.push(frame, &mut wakers));
            }
        }
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    async fn close(&mut self) -> Result<(), BusError> {
        self.membership.inbox.alive()?;
        self.membership.leave();
        self.membership.inbox.end(End::Closed);
        Ok(())
    }
}

#[derive(Debug)]
struct Frames {
    membership: Arc<Membership>,
    /// Whether the end was told.
    fused: bool,
}

impl Stream for Frames {
    type Item = Result<Inbound, BusError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.fused {
            return Poll::Ready(None);
        }
        let mut state = self.membership.inbox.state.lock();
        if let Some(frame) = state.queue.pop_front() {
            state.waiting -= frame.frame.len() + OVERHEAD;
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(end) = state.end else {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        drop(state);
        self.fused = true;
        Poll::Ready((end != End::Closed).then(|| Err(end.error())))
    }
}
