//! The notices of a backplane to its host, and their fan-out to any number of listeners.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures::stream::{BoxStream, Stream, StreamExt};
use lock_api::Mutex;

use crate::bus::Lane;
use crate::host::Host;
use crate::node::Run;
use crate::node_id::NodeId;
use crate::receipt::State;
use crate::time::Instant;

/// How many notices wait for one listener; later ones are counted and dropped.
const KEPT: usize = 1_024;

/// A notice to the host: what the backplane can do, and what this node may have missed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The state, first as it is when the stream begins and then whenever it changes.
    State(State),
    /// Messages of another node did not come, and will not.
    Gap {
        /// The node that sent the messages.
        origin: NodeId,
        /// The lane of the messages.
        lane: Lane,
        /// The sequence numbers of the messages.
        run: Run,
    },
    /// Deafness: the node may have missed anything that was published between these instants of its
    /// [`Timer`](crate::Timer).
    Deaf {
        /// The node whose events may be missing; `None` for all other nodes.
        origin: Option<NodeId>,
        /// The last instant at which the node is known to have received.
        since: Instant,
        /// The instant from which everything arrives or lies in a gap.
        until: Instant,
    },
    /// Another node was heard for the first time, or again after silence.
    Joined(NodeId),
    /// Another node said that it leaves.
    Left(NodeId),
    /// Another node was not heard for ten heartbeats.
    Silent(NodeId),
    /// The link with the bus ended or could not be opened; another attempt follows. The text is for
    /// people and holds no secret.
    Bus(String),
    /// The listener was slow and missed this many notices; the state follows.
    Lagged(u64),
}

/// Hands each notice to every listener and remembers the state.
pub(crate) struct Notices<H: Host>(Mutex<H::Mutex, NoticeListeners>);

struct NoticeListeners {
    state: State,
    next: u64,
    all: Vec<NoticeListener>,
}

struct NoticeListener {
    id: u64,
    waiting: VecDeque<Notice>,
    lagged: u64,
    waker: Option<Waker>,
}

impl<H: Host> Notices<H> {
    pub(crate) fn new(state: State) -> Arc<Self> {
        Arc::new(Self(Mutex::new(NoticeListeners {
            state,
            next: 0,
            all: Vec::new(),
        })))
    }

    pub(crate) fn state(&self) -> State {
        self.0.lock().state
    }

    /// Gives the notice to every listener, unless it is a state that does not change anything. Closed is for good.
    pub(crate) fn report(&self, notice: &Notice) {
        let wakers: Vec<Waker> = {
            let mut listeners = self.0.lock();
            if let Notice::State(state) = notice {
                if listeners.state == *state || listeners.state == State::Closed {
                    return;
                }
                listeners.state = *state;
            }
            let reached = listeners.all.iter_mut().filter_map(|listener| {
                if listener.waiting.len() < KEPT {
                    listener.waiting.push_back(notice.clone());
                } else {
                    listener.lagged += 1;
                }
                listener.waker.take()
            });
            reached.collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A stream that begins with the state and ends behind [`State::Closed`].
    pub(crate) fn listen(self: &Arc<Self>) -> BoxStream<'static, Notice> {
        let mut listeners = self.0.lock();
        let id = listeners.next;
        listeners.next += 1;
        let first = Notice::State(listeners.state);
        listeners.all.push(NoticeListener {
            id,
            waiting: VecDeque::from([first]),
            lagged: 0,
            waker: None,
        });
        drop(listeners);
        NoticeStream {
            notices: self.clone(),
            id,
            ended: false,
        }
        .boxed()
    }
}

struct NoticeStream<H: Host> {
    notices: Arc<Notices<H>>,
    id: u64,
    ended: bool,
}

impl<H: Host> Stream for NoticeStream<H> {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let waker = context.waker().clone();
        let mut listeners = self.notices.0.lock();
        let state = listeners.state;
        let found = listeners.all.iter_mut().find(|one| one.id == self.id);
        let Some(listener) = found else {
            return Poll::Ready(None);
        };
        if listener.waiting.is_empty() && listener.lagged > 0 {
            let lagged = core::mem::take(&mut listener.lagged);
            listener.waiting.push_back(Notice::Lagged(lagged));
            listener.waiting.push_back(Notice::State(state));
        }
        let Some(notice) = listener.waiting.pop_front() else {
            let replaced = listener.waker.replace(waker);
            drop(listeners);
            drop(replaced);
            return Poll::Pending;
        };
        drop(listeners);
        self.ended = notice == Notice::State(State::Closed);
        Poll::Ready(Some(notice))
    }
}

impl<H: Host> Drop for NoticeStream<H> {
    fn drop(&mut self) {
        let left = {
            let mut listeners = self.notices.0.lock();
            let at = listeners.all.iter().position(|one| one.id == self.id);
            at.map(|at| listeners.all.swap_remove(at))
        };
        drop(left);
    }
}
