//! Handling every completion: the stream for speed, the ledger for certainty.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::task::Waker;
use core::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use lock_api::Mutex;

use super::dispatch::Dispatch;
use super::{CompletionBackend, Filter, Handler, Ledger, Report};
use midplane_core::{Backoff, Host, Timer};

/// How a [`Listener`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// How many handlers run at once, at most. 32 by default, and one at least.
    pub concurrency: usize,
    /// How many claimed completions wait for that, or for the one before in their flow. 256 by default.
    pub queue: usize,
    /// How long a claim holds, and so how long a handler may take, the wait included. 60 s by default.
    pub lease: Duration,
    /// How many handled executions are remembered, so that one that comes again is not handled again.
    /// 10,000 by default.
    pub window: usize,
    /// The time between two walks of the reconciler. 30 s by default.
    pub interval: Duration,
    /// How long ago an execution must have finished for a walk on the interval to take it, so that the
    /// stream has had its chance. A walk after a subscription takes everything. 10 s by default.
    pub stale: Duration,
    /// How many executions a page of a walk has at most. 256 by default.
    pub page: usize,
    /// How many pages a walk has at most; the next one goes on behind them. 64 by default.
    pub pages: usize,
    /// How long to wait before what failed is tried again, by how often it failed: up to 1 s after the
    /// first time and up to 5 min in the end, by default.
    pub backoff: Backoff,
    /// How long the store has to answer. 5 s by default.
    pub deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 32,
            queue: 256,
            lease: Duration::from_secs(60),
            window: 10_000,
            interval: Duration::from_secs(30),
            stale: Duration::from_secs(10),
            page: 256,
            pages: 64,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(300)),
            deadline: Duration::from_secs(5),
        }
    }
}

/// What a listener saw and did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Completions that the stream yielded.
    pub streamed: u64,
    /// Completions from the stream or a walk that were in work or handled here already.
    pub repeated: u64,
    /// Completions that others had claimed or handled.
    pub taken: u64,
    /// Handlers that did their work.
    pub done: u64,
    /// Handlers that had nothing to do.
    pub no_op: u64,
    /// Handlers that failed.
    pub failed: u64,
    /// Handlers that panicked.
    pub panicked: u64,
    /// Handlers that were dropped since their lease was over, and claims that ended while they waited.
    pub late: u64,
    /// Calls to claim that the store did not answer. The completions are left to the reconciler.
    pub unclaimed: u64,
    /// Calls to settle that the store did not answer. The claims end by time.
    pub unsettled: u64,
    /// Subscriptions that stand, the first one included.
    pub subscribed: u64,
    /// Attempts to subscribe that failed.
    pub unsubscribed: u64,
    /// Completions that the stream said it lost.
    pub lagged: u64,
    /// Records in the history that are no completions.
    pub poison: u64,
    /// Walks of the reconciler that ended.
    pub walks: u64,
    /// What they found, all together.
    pub reconciled: Report,
}

impl Counters {
    pub(super) fn end_walk(&mut self, report: &Report) {
        self.walks += 1;
        self.reconciled.scanned += report.scanned;
        self.reconciled.reconciled += report.reconciled;
        self.reconciled.no_op += report.no_op;
        self.reconciled.filtered += report.filtered;
        self.reconciled.errors += report.errors;
    }
}

/// Handles every completion that its filter lets through: at once while the stream works, and by the
/// reconciler when it does not.
///
/// A completion is claimed in the ledger, handled, and noted there as handled. At most
/// [`concurrency`](Settings::concurrency) handlers run at once, and those of one flow one after the other
/// in the order their completions came; one that fails is tried again later, and its flow does not wait
/// for that. A handler that panics is counted as failed.
///
/// After each subscription, also a renewed one, and on its interval the reconciler walks through what the
/// ledger shows as finished and not handled. So what the stream lost is handled, and with no stream at all
/// everything is.
pub struct Listener<H> {
    pub(super) backend: Arc<dyn CompletionBackend>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) timer: Arc<dyn Timer>,
    pub(super) filter: Filter,
    pub(super) settings: Settings,
    host: PhantomData<fn() -> H>,
}

impl<H: Host> Listener<H> {
    /// Listens to the backend, and has its completions handled by the handler. The ledger is of the same
    /// store.
    #[must_use]
    pub fn new(
        backend: Arc<dyn CompletionBackend>,
        ledger: Arc<dyn Ledger>,
        handler: Arc<dyn Handler>,
        timer: Arc<dyn Timer>,
    ) -> Self {
        Self {
            backend,
            ledger,
            handler,
            timer,
            filter: Filter::all(),
            settings: Settings::default(),
            host: PhantomData,
        }
    }

    /// Takes only what the filter lets through. Completions that it leaves out stay unhandled in the
    /// ledger, for others.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Works like this.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The future that does the work, for the host to spawn, and the handle to it. It ends some time after
    /// [`close`](ListenerHandle::close), and never by itself; dropping it stops everything at once, and
    /// what was claimed comes back when its lease ends.
    #[must_use]
    pub fn start(self) -> (ListenerHandle<H>, BoxFuture<'static, ()>) {
        let shared = Arc::new(Shared {
            control: Mutex::new(Control::default()),
        });
        let handle = ListenerHandle {
            shared: Arc::clone(&shared),
        };
        (handle, Box::pin(Dispatch::new(self, shared)))
    }
}

impl<H> fmt::Debug for Listener<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("backend", &self.backend)
            .field("ledger", &self.ledger)
            .field("filter", &self.filter)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// How the program speaks with a running [`Listener`]. Dropping it changes nothing.
pub struct ListenerHandle<H: Host> {
    shared: Arc<Shared<H>>,
}

impl<H: Host> ListenerHandle<H> {
    /// What it saw and did so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.control.lock().counters
    }

    /// Has the reconciler walk now, through everything that is not handled, and resolves when all it found
    /// is settled. `None` when the listener is over.
    pub async fn reconcile(&self) -> Option<Report> {
        let (sender, receiver) = oneshot::channel();
        self.shared.ask(|control| control.walks.push(sender));
        receiver.await.ok()
    }

    /// Takes nothing new, waits this long at most for the handlers that run, gives back what was claimed
    /// and not begun, and ends the listener. `None` when it was over already.
    pub async fn close(&self, deadline: Duration) -> Option<Drained> {
        let (sender, receiver) = oneshot::channel();
        self.shared
            .ask(|control| control.close = Some((deadline, sender)));
        receiver.await.ok()
    }
}

impl<H: Host> fmt::Debug for ListenerHandle<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerHandle")
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

/// What became of the work when a listener was closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Handlers that ended within the deadline.
    pub finished: u64,
    /// Handlers that did not, and were dropped. Their work comes back when their leases end.
    pub abandoned: u64,
    /// Completions that were claimed and not begun, and were given back.
    pub returned: u64,
}

/// What the handle and the future share.
pub(super) struct Shared<H: Host> {
    pub(super) control: Mutex<H::Mutex, Control>,
}

#[derive(Default)]
pub(super) struct Control {
    pub(super) counters: Counters,
    /// Who waits for a walk that has not begun.
    pub(super) walks: Vec<oneshot::Sender<Report>>,
    pub(super) close: Option<(Duration, oneshot::Sender<Drained>)>,
    pub(super) over: bool,
    pub(super) waker: Option<Waker>,
}

impl<H: Host> Shared<H> {
    /// Leaves a request, and wakes the future to see it.
    fn ask(&self, request: impl FnOnce(&mut Control)) {
        let mut control = self.control.lock();
        if control.over {
            // What the request holds is dropped, which tells whoever asks.
            return;
        }
        request(&mut control);
        let waker = control.waker.take();
        drop(control);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut self.control.lock().counters);
    }
}
