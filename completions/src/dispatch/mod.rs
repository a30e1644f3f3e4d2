//! The one task of a listener: from the stream and the ledger, through claims and handlers, to the note in
//! the ledger.

mod intake;
mod work;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use hashbrown::HashSet;

use super::lanes::Lanes;
use super::listener::{Drained, Listener, Shared};
use super::reconcile::{Report, Walk};
use super::window::Window;
use super::{
    BackendError, Claim, Completion, CompletionStream, Cursor, ExecutionId, FlowId, Handled,
    Scanned, SubscribeError,
};
use intake::ask;
use midplane_core::{Host, Instant, Random};

/// How often the task goes round before it lets others have a turn.
const ROUNDS: usize = 64;

/// A completion on its way.
struct Job {
    completion: Completion,
    /// The reconciler found it; otherwise the stream did.
    walked: bool,
    /// It was handled here already, and only the note in the ledger is missing.
    known: bool,
}

/// A completion that is ours until the lease ends, by our clock.
struct Claimed {
    job: Job,
    claim: Claim,
    until: Instant,
}

/// A claim that is to be settled.
struct Settled {
    claim: Claim,
    walked: bool,
}

/// How a handler ended.
enum Verdict {
    Handled(Handled),
    Failed,
    Panicked,
    Late,
}

enum Subscription {
    Asking(BoxFuture<'static, Result<CompletionStream, SubscribeError>>),
    Live(CompletionStream),
    Pausing(BoxFuture<'static, ()>),
    Over,
}

/// A call that settles claims: how many of them a walk found, and whether the ledger answered.
type Settling = BoxFuture<'static, (usize, bool)>;
type Claiming = BoxFuture<'static, (Vec<Job>, Instant, Result<Vec<Claim>, BackendError>)>;
type Running = BoxFuture<'static, (Option<FlowId>, Claimed, Verdict)>;

/// The future behind a [`Listener`].
pub(super) struct Dispatch<H: Host> {
    listener: Listener<H>,
    shared: Arc<Shared<H>>,
    random: Random,
    subscription: Subscription,
    /// Attempts in a row that failed.
    failures: u32,
    /// From the stream, not yet claimed.
    arrived: VecDeque<Job>,
    /// From the ledger, not yet claimed.
    found: VecDeque<Job>,
    /// Everything between its arrival and its verdict.
    busy: HashSet<ExecutionId>,
    window: Window,
    claiming: Option<Claiming>,
    lanes: Lanes<Claimed>,
    running: FuturesUnordered<Running>,
    handled: Vec<Settled>,
    /// By how often their work failed before.
    released: BTreeMap<u32, Vec<Settled>>,
    settling: Option<Settling>,
    walk: Option<Walk>,
    scanning: Option<BoxFuture<'static, Result<Scanned, BackendError>>>,
    /// A subscription was made since the last walk began.
    walk_soon: bool,
    /// Where the next walk on the interval begins.
    place: Option<Cursor>,
    interval: BoxFuture<'static, ()>,
    closing: Option<Closing>,
}

struct Closing {
    deadline: BoxFuture<'static, ()>,
    drained: Drained,
    tell: oneshot::Sender<Drained>,
}

impl<H: Host> Dispatch<H> {
    pub(super) fn new(listener: Listener<H>, shared: Arc<Shared<H>>) -> Self {
        let settings = &listener.settings;
        Self {
            random: Random::from_clock(&*listener.timer),
            subscription: Subscription::Asking(ask(&listener)),
            failures: 0,
            arrived: VecDeque::new(),
            found: VecDeque::new(),
            busy: HashSet::new(),
            window: Window::new(settings.window),
            claiming: None,
            lanes: Lanes::new(),
            running: FuturesUnordered::new(),
            handled: Vec::new(),
            released: BTreeMap::new(),
            settling: None,
            walk: None,
            scanning: None,
            walk_soon: false,
            place: None,
            interval: listener.timer.sleep(settings.interval),
            closing: None,
            listener,
            shared,
        }
    }

    /// Sees what the handle asks for.
    fn poll_requests(&mut self, context: &mut Context<'_>) -> bool {
        let mut control = self.shared.control.lock();
        let close = match self.closing {
            None => control.close.take(),
            Some(_) => None,
        };
        let replaced = control.waker.replace(context.waker().clone());
        drop(control);
        drop(replaced);
        let Some((deadline, tell)) = close else {
            return false;
        };
        self.subscription = Subscription::Over;
        self.arrived.clear();
        self.found.clear();
        self.scanning = None;
        self.walk = None;
        let waiting: Vec<_> = self.lanes.clear().collect();
        let mut drained = Drained::default();
        for claimed in waiting {
            drained.returned += 1;
            self.give_back(claimed);
        }
        self.closing = Some(Closing {
            deadline: self.listener.timer.sleep(deadline),
            drained,
            tell,
        });
        true
    }

    /// So many of the walk's finds are over and done with.
    fn settled(&mut self, walked: usize) {
        if let Some(walk) = &mut self.walk {
            walk.outstanding = walk.outstanding.saturating_sub(walked);
        }
    }

    fn report(&mut self, walked: bool, count: impl FnOnce(&mut Report)) {
        if let Some(walk) = self.walk.as_mut().filter(|_| walked) {
            count(&mut walk.report);
        }
    }

    /// Whether closing is over, and then says so.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> bool {
        let Some(closing) = &mut self.closing else {
            return false;
        };
        let idle = self.running.is_empty()
            && self.claiming.is_none()
            && self.settling.is_none()
            && self.handled.is_empty()
            && self.released.is_empty();
        if !idle && closing.deadline.as_mut().poll(context).is_pending() {
            return false;
        }
        closing.drained.abandoned = self.running.len() as u64;
        self.running.clear();
        true
    }
}

impl<H: Host> Future for Dispatch<H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..ROUNDS {
            let mut moved = this.poll_requests(context);
            moved |= this.poll_stream(context);
            moved |= this.poll_walk(context);
            moved |= this.poll_claims(context);
            moved |= this.poll_handlers(context);
            moved |= this.poll_settling(context);
            if this.poll_closed(context) {
                if let Some(closing) = this.closing.take() {
                    // Who no longer waits need not know.
                    let _ = closing.tell.send(closing.drained);
                }
                return Poll::Ready(());
            }
            if !moved {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<H: Host> Drop for Dispatch<H> {
    fn drop(&mut self) {
        let mut control = self.shared.control.lock();
        control.over = true;
        // Whoever waits is told by the end of its channel.
        let waiting = (mem::take(&mut control.walks), control.close.take());
        drop(control);
        drop(waiting);
    }
}
