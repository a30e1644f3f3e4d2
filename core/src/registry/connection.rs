//! One attached connection, and the latch that opens when it is truly gone.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};

use lock_api::{Mutex, RawMutex};

use super::key::Key;
use crate::sink::Deliver;

/// A connection as the tables and the fan-outs hold it.
///
/// The count of this `Arc` is the guard behind the awaited detach. Only tables and running fan-outs
/// hold it, so when it falls to zero no sink call runs, none can start, and the closure is dropped;
/// its latch opens last. It costs a fan-out nothing per delivery, and makes a detach wait for the
/// fan-outs under way over targets the connection was in, and for no others.
pub(crate) type Member = Arc<Connection<dyn Deliver>>;

/// What a fan-out reads of a connection, with the closure inline behind it.
pub(crate) struct Connection<D: ?Sized> {
    head: Head,
    sink: D,
}

pub(crate) struct Head {
    /// Set once, when the connection is detached or replaced. A fan-out that holds an older snapshot
    /// reads it before each call.
    closed: AtomicBool,
    /// How many targets the connection is in or about to be in, beside its own.
    targets: AtomicU32,
    /// The connection's own key: its scope and its id.
    key: Key,
}

impl Head {
    pub(crate) fn new(key: Key) -> Self {
        Self {
            closed: AtomicBool::new(false),
            targets: AtomicU32::new(0),
            key,
        }
    }
}

impl<D: Deliver + 'static> Connection<D> {
    pub(crate) fn shared(head: Head, sink: D) -> Member {
        Arc::new(Self { head, sink })
    }
}

impl Connection<dyn Deliver> {
    pub(crate) fn sink(&self) -> &dyn Deliver {
        &self.sink
    }

    pub(crate) fn key(&self) -> &Key {
        &self.head.key
    }

    pub(crate) fn is_closed(&self) -> bool {
        // No order is needed: where the answer must be exact, both sides hold the same table's lock.
        self.head.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.head.closed.store(true, Ordering::Relaxed);
    }

    /// Takes a place for one more target, if there is one.
    pub(crate) fn reserve(&self, limit: u32) -> bool {
        self.head
            .targets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                (held < limit).then(|| held + 1)
            })
            .is_ok()
    }

    /// Gives a place back.
    pub(crate) fn release(&self) {
        self.head.targets.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What tells members apart and orders them: the address of the connection's allocation.
pub(crate) fn address(member: &Member) -> usize {
    Arc::as_ptr(member).cast::<()>().addr()
}

/// Opens once; whoever waits for it is woken.
pub(crate) trait Latch: Send + Sync {
    fn open(&self);
    fn poll_open(&self, context: &Context<'_>) -> Poll<()>;
}

pub(crate) struct LockedLatch<R>(Mutex<R, LatchState>);

#[derive(Default)]
struct LatchState {
    open: bool,
    waiting: Vec<Waker>,
}

impl<R: RawMutex> LockedLatch<R> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LatchState::default()))
    }
}

impl<R: RawMutex + Send + Sync> Latch for LockedLatch<R> {
    fn open(&self) {
        let waiting = {
            let mut state = self.0.lock();
            state.open = true;
            core::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    fn poll_open(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.open {
            return Poll::Ready(());
        }
        if !state
            .waiting
            .iter()
            .any(|waker| waker.will_wake(context.waker()))
        {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}
