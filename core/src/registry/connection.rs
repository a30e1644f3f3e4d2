//! One attached connection, and the latch that opens when it is truly gone.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use lock_api::Mutex;

use super::end::ConnectionEnd;
use super::key::KeyRef;
use super::verdict::Deliver;
use crate::host::Host;
use crate::target::{ConnectionId, Scope};
use crate::time::Instant;

/// A connection as the tables and the fan-outs hold it.
///
/// The count of this `Arc` is the guard behind the awaited detach. Only tables, running fan-outs, and
/// for one step an attachment's own calls hold it, so when it falls to zero no sink call runs, none can
/// start, and the closure is dropped; its latch opens last. It costs a fan-out nothing per delivery, and
/// makes a detach wait for the fan-outs under way over targets the connection was in, and for no others.
pub(crate) type Member = Arc<Connection<dyn Deliver>>;

/// A connection with its sink inline, in the order that is written: what a fan-out reads of it, whether it is closed
/// and what the sink captured, lies side by side.
#[repr(C)]
pub(crate) struct Connection<D: ?Sized> {
    head: Head,
    sink: D,
}

#[repr(C)]
pub(crate) struct Head {
    /// The connection's own key.
    scope: Scope,
    id: ConnectionId,
    /// Set once, when the connection is detached or replaced. A fan-out that holds an older snapshot
    /// reads it before each call.
    closed: AtomicBool,
    /// When the connection attached.
    since: Moment,
}

impl Head {
    pub(crate) fn new(scope: Scope, id: ConnectionId, since: Instant) -> Self {
        Self {
            closed: AtomicBool::new(false),
            since: Moment::new(since),
            scope,
            id,
        }
    }
}

/// An instant in six bytes, which fit in beside a flag: the microseconds on the clock of the watcher, of which these
/// count nine years. Rounded down, so that nobody seems to have joined later than it did.
#[derive(Clone, Copy)]
struct Moment([u8; 6]);

impl Moment {
    fn new(instant: Instant) -> Self {
        let micros = instant.since_origin().as_micros().min((1 << 48) - 1);
        let [rest @ .., _, _] = (micros as u64).to_le_bytes();
        Self(rest)
    }

    fn instant(self) -> Instant {
        let [a, b, c, d, e, f] = self.0;
        let micros = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        Instant::from_origin(Duration::from_micros(micros))
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

    /// Reads what a delivery reads first, and says whether the sink had anything to read.
    pub(crate) fn warm(&self) -> bool {
        black_box(self.is_closed());
        self.sink.warm()
    }

    pub(crate) fn key(&self) -> KeyRef<'_> {
        KeyRef::connection(&self.head.scope, &self.head.id)
    }

    /// When the connection attached.
    pub(crate) fn since(&self) -> Instant {
        self.head.since.instant()
    }

    pub(crate) fn is_closed(&self) -> bool {
        // No order is needed: where the answer must be exact, both sides hold the same table's lock.
        self.head.closed.load(Ordering::Relaxed)
    }

    /// Nothing reaches the connection from now on, for this reason.
    pub(crate) fn close(&self, end: ConnectionEnd) {
        self.sink.ended(end);
        self.head.closed.store(true, Ordering::Relaxed);
    }
}

/// What stands for a member in a list of calls to make.
pub(super) trait AsMember {
    fn as_member(&self) -> &Member;
}

impl AsMember for Member {
    fn as_member(&self) -> &Member {
        self
    }
}

/// A member and what it is to get.
impl<T> AsMember for (Member, T) {
    fn as_member(&self) -> &Member {
        &self.0
    }
}

/// What tells members apart and orders them: the address of the connection's allocation.
pub(crate) fn address(member: &Member) -> usize {
    Arc::as_ptr(member).cast::<()>().addr()
}

/// Opens once, when a connection is gone, and wakes every task that waits for that.
pub(crate) trait Latch: Send + Sync {
    /// Keeps the first reason why the connection ended.
    fn ended(&self, end: ConnectionEnd);
    /// Why the connection ended, if it did.
    fn end(&self) -> Option<ConnectionEnd>;
    fn open(&self);
    /// Waits under the number in `ticket`, which a later poll passes again.
    fn poll_open(&self, ticket: &mut Option<u64>, context: &Context<'_>) -> Poll<()>;
    /// Gives up waiting.
    fn leave(&self, ticket: u64);
    fn inside_sink(&self) -> bool;
}

pub(crate) struct HostLatch<H: Host>(Mutex<H::Mutex, LatchState>);

#[derive(Default)]
struct LatchState {
    open: bool,
    end: Option<ConnectionEnd>,
    /// Every connection has a latch and hardly any is waited for: what waiting takes is made when somebody does.
    waiters: Option<Box<LatchWaiters>>,
}

#[derive(Default)]
struct LatchWaiters {
    tickets: u64,
    waiting: Vec<(u64, Waker)>,
}

impl<H: Host> HostLatch<H> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LatchState::default()))
    }
}

/// A waker is foreign code: none is woken or dropped under the lock, and the panic of one does not keep
/// the others from waking.
impl<H: Host> Latch for HostLatch<H> {
    fn ended(&self, end: ConnectionEnd) {
        self.0.lock().end.get_or_insert(end);
    }

    fn end(&self) -> Option<ConnectionEnd> {
        self.0.lock().end
    }

    fn open(&self) {
        let waiters = {
            let mut state = self.0.lock();
            state.open = true;
            state.waiters.take()
        };
        for (_, waker) in waiters.into_iter().flat_map(|waiters| waiters.waiting) {
            let mut waker = Some(waker);
            // A task that is woken too late polls again; a waker that panics has called its panic hook.
            let _ = H::contain(&mut || waker.take().into_iter().for_each(Waker::wake));
        }
    }

    fn poll_open(&self, ticket: &mut Option<u64>, context: &Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        let mut state = self.0.lock();
        if state.open {
            return Poll::Ready(());
        }
        let waiters = state.waiters.get_or_insert_default();
        let number = *ticket.get_or_insert_with(|| {
            waiters.tickets += 1;
            waiters.tickets
        });
        let place = waiters.waiting.iter_mut().find(|(held, _)| *held == number);
        let replaced = match place {
            Some((_, held)) => Some(core::mem::replace(held, waker)),
            None => {
                waiters.waiting.push((number, waker));
                None
            }
        };
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    fn leave(&self, ticket: u64) {
        let left = {
            let mut state = self.0.lock();
            state.waiters.as_mut().and_then(|waiters| {
                let place = waiters.waiting.iter().position(|(held, _)| *held == ticket);
                place.map(|at| waiters.waiting.swap_remove(at))
            })
        };
        drop(left);
    }

    fn inside_sink(&self) -> bool {
        H::inside_sink()
    }
}
