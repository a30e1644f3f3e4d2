//! The notices of a backplane to its host, and their fan-out to any number of listeners.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures::stream::{BoxStream, Stream, StreamExt};
use lock_api::Mutex;

use crate::host::Host;
use crate::member::Difference;
use crate::missed::Missed;
use crate::node_id::NodeId;
use crate::receipt::State;

/// How many notices wait for one listener; later ones are counted and dropped.
const KEPT: usize = 1_024;

/// A notice to the host: what the backplane can do, and what this node may have missed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The state, first as it is when the stream begins and then whenever it changes.
    State(State),
    /// Events of other nodes did not come, and will not. The connections that this concerns have been
    /// [told](crate::Sink::with_missed) by now; one notice follows for the whole of an incident.
    Missed(Incident),
    /// Another node was heard for the first time, or again after silence.
    Joined(NodeId),
    /// Another node said that it leaves.
    Left(NodeId),
    /// A member was not heard for two of its heartbeats and an eighth, 200 ms at least, while this node's own came back; or for
    /// ten, however they did. It said no goodbye.
    Silent(NodeId),
    /// A member is set otherwise than this node, or a node of another cluster uses the same prefix on the same bus. That
    /// node says the same of this one.
    Differs(Difference),
    /// The link with the bus ended or could not be opened; another attempt follows. The text is for
    /// people and holds no secret.
    Bus(String),
    /// Frames came that do not belong here and were dropped. One notice in ten heartbeats at most.
    DroppedFrames(DroppedFrames),
    /// The listener was slow: 1,024 notices waited for it, and this many were dropped that came after those. The state
    /// follows behind what waits.
    Lagged(u64),
}

/// What one incident cost this node: everything that was found missing until nothing more was for half a heartbeat, or
/// for four heartbeats at most.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incident {
    /// How many events are missing, on which lanes, and when they were published.
    pub missed: Missed,
    /// How many gaps in the numbers of other nodes, and times of deafness towards them, these are.
    pub gaps: u64,
    /// How many nodes published the events.
    pub origins: usize,
    /// The first of those nodes, [`Incident::NAMED`] at most.
    pub first: Vec<NodeId>,
    /// How many sinks of connections took a report of it.
    pub connections: u64,
}

/// Frames that were dropped since the notice before, by reason. [`Signing`](crate::bus::Signing) says which are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedFrames {
    /// Frames without a signature, where signatures are required.
    pub unsigned: u64,
    /// Frames by a key that is not known here, where signatures are required.
    pub unknown_keys: u64,
    /// Frames whose signature is wrong.
    pub wrong_tags: u64,
    /// Frames that came on another lane than they were sent on.
    pub misplaced: u64,
}

impl DroppedFrames {
    /// The frames that were dropped since these.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            unsigned: self.unsigned.wrapping_sub(before.unsigned),
            unknown_keys: self.unknown_keys.wrapping_sub(before.unknown_keys),
            wrong_tags: self.wrong_tags.wrapping_sub(before.wrong_tags),
            misplaced: self.misplaced.wrapping_sub(before.misplaced),
        }
    }
}

/// As fields of a line of a log.
impl fmt::Display for DroppedFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            unsigned,
            unknown_keys,
            wrong_tags,
            misplaced,
        } = self;
        write!(
            f,
            "unsigned={unsigned} unknown_keys={unknown_keys} wrong_tags={wrong_tags} misplaced={misplaced}"
        )
    }
}

/// A fixed phrase, and then fields. [`Notice::Bus`] ends with the reason.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => write!(f, "backplane {state}"),
            Self::Missed(incident) => write!(f, "events missed {incident}"),
            Self::Joined(node) => write!(f, "node joined node={node}"),
            Self::Left(node) => write!(f, "node left node={node}"),
            Self::Silent(node) => write!(f, "node silent node={node}"),
            Self::Differs(difference) => write!(f, "settings differ {difference}"),
            Self::Bus(reason) => write!(f, "bus link lost reason={reason}"),
            Self::DroppedFrames(dropped) => write!(f, "frames dropped {dropped}"),
            Self::Lagged(notices) => write!(f, "notices dropped notices={notices}"),
        }
    }
}

/// As fields of a line of a log.
impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            missed,
            gaps,
            origins,
            first,
            connections,
        } = self;
        write!(
            f,
            "{missed} gaps={gaps} origins={origins} connections={connections} nodes="
        )?;
        for (number, node) in first.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{node}")?;
        }
        Ok(())
    }
}

impl Incident {
    /// How many nodes an incident names.
    pub const NAMED: usize = 4;

    /// An incident that begins with this.
    pub(crate) const fn new(missed: Missed) -> Self {
        Self {
            missed,
            gaps: 0,
            origins: 0,
            first: Vec::new(),
            connections: 0,
        }
    }
}

/// Hands each notice to every listener and remembers the state.
pub(crate) struct Notices<H: Host>(Mutex<H::Mutex, NoticeListeners>);

struct NoticeListeners {
    state: State,
    /// How many notices were dropped, those of each listener counted.
    dropped: u64,
    next: u64,
    all: Vec<NoticeListener>,
}

struct NoticeListener {
    id: u64,
    waiting: VecDeque<Notice>,
    /// How many notices were dropped since the listener was last told.
    lagged: u64,
    /// The listener was told last, and gets a notice next: one that is slow for ever makes progress all the same.
    reported: bool,
    /// The state is to follow behind what waits.
    stale: bool,
    waker: Option<Waker>,
}

impl<H: Host> Notices<H> {
    pub(crate) fn new(state: State) -> Arc<Self> {
        Arc::new(Self(Mutex::new(NoticeListeners {
            state,
            dropped: 0,
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
            let mut guard = self.0.lock();
            let listeners = &mut *guard;
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
                    listeners.dropped += 1;
                }
                listener.waker.take()
            });
            reached.collect()
        };
        for waker in wakers {
            let mut waker = Some(waker);
            // One that panics has called its panic hook; the others are woken.
            let _ = H::contain(&mut || waker.take().into_iter().for_each(Waker::wake));
        }
    }

    /// How many notices listeners dropped that were too slow, in all.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.lock().dropped
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
            reported: false,
            stale: false,
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

impl NoticeListener {
    fn next(&mut self, state: State) -> Option<Notice> {
        if self.lagged > 0 && !self.reported {
            self.reported = true;
            self.stale = true;
            return Some(Notice::Lagged(core::mem::take(&mut self.lagged)));
        }
        self.reported = false;
        self.waiting.pop_front().or_else(|| {
            let stale = core::mem::take(&mut self.stale);
            stale.then_some(Notice::State(state))
        })
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
        let Some(notice) = listener.next(state) else {
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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use core::task::Context;

    use futures::task::noop_waker_ref;

    use super::*;
    use crate::host::SingleThread;

    type Board = Notices<SingleThread<midplane::Lock>>;

    fn next(listener: &mut BoxStream<'static, Notice>) -> Option<Notice> {
        let mut context = Context::from_waker(noop_waker_ref());
        match listener.poll_next_unpin(&mut context) {
            Poll::Ready(notice) => notice,
            Poll::Pending => None,
        }
    }

    fn report_many(board: &Board, count: usize) {
        for number in 0..count {
            board.report(&Notice::Bus(number.to_string()));
        }
    }

    #[test]
    fn a_slow_listener_is_told_that_it_lagged_at_its_next_item() {
        let board = Board::new(State::Degraded);
        let mut listener = board.listen();
        assert_eq!(next(&mut listener), Some(Notice::State(State::Degraded)));
        report_many(&board, KEPT);
        assert_eq!(next(&mut listener), Some(Notice::Bus("0".into())));
        report_many(&board, 4);
        board.report(&Notice::State(State::Live));
        assert_eq!(board.dropped(), 4);
        assert_eq!(next(&mut listener), Some(Notice::Lagged(4)));
        // What waits follows, and then the state, which was among what was dropped.
        for number in 1..KEPT {
            assert_eq!(next(&mut listener), Some(Notice::Bus(number.to_string())));
        }
        assert_eq!(next(&mut listener), Some(Notice::Bus("0".into())));
        assert_eq!(next(&mut listener), Some(Notice::State(State::Live)));
        assert_eq!(next(&mut listener), None);
    }

    /// A listener that falls further behind with every notice that it takes gets notices all the same.
    #[test]
    fn a_listener_that_is_always_slow_makes_progress() {
        let board = Board::new(State::Live);
        let mut listener = board.listen();
        report_many(&board, KEPT + 1);
        for _ in 0..8 {
            assert!(matches!(next(&mut listener), Some(Notice::Lagged(_))));
            report_many(&board, 2);
            let notice = next(&mut listener);
            assert!(matches!(notice, Some(Notice::Bus(_) | Notice::State(_))));
            report_many(&board, 2);
        }
        assert_eq!(board.dropped(), 2 + 8 * 4 - 8);
    }

    #[test]
    fn a_closed_board_is_the_last_that_a_slow_listener_sees() {
        let board = Board::new(State::Live);
        let mut listener = board.listen();
        report_many(&board, KEPT);
        board.report(&Notice::State(State::Closed));
        let mut last = None;
        while let Some(notice) = next(&mut listener) {
            last = Some(notice);
        }
        assert_eq!(last, Some(Notice::State(State::Closed)));
        assert_eq!(next(&mut listener), None);
    }
}
