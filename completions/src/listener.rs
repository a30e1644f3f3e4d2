//! Handling every completion: the stream for speed, the ledger for certainty.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use futures::future::BoxFuture;
use midplane_core::{Host, Timer};

use crate::backend::CompletionBackend;
use crate::control::Control;
use crate::dispatch::{Dispatch, Seams};
use crate::filter::Filter;
use crate::handler::Handler;
use crate::ledger::Ledger;
use crate::report::{Drained, ListenerCounters, WalkReport};
use crate::settings::ListenerSettings;

/// Handles every completion that its filter lets through: at once while the stream works, and by the
/// reconciler when the stream does not.
///
/// A completion is claimed in the ledger, handled, and recorded there as handled. At most
/// [`concurrency`](ListenerSettings::concurrency) handlers run at once, and those of one flow run one after
/// the other in the order their completions arrived; an execution whose handler failed is tried again
/// later, and its flow does not wait for that. A handler that panics is counted as failed.
///
/// After each subscription, a renewed one included, and on its interval the reconciler walks through what
/// the ledger returns as finished and not handled. What the stream lost is handled so, and with no stream
/// at all everything is.
pub struct Listener<H> {
    seams: Seams,
    host: PhantomData<fn() -> H>,
}

impl<H: Host> Listener<H> {
    /// A listener that subscribes to the backend and has its completions handled by the handler. The ledger
    /// is of the same store.
    #[must_use]
    pub fn new(
        backend: Arc<dyn CompletionBackend>,
        ledger: Arc<dyn Ledger>,
        handler: Arc<dyn Handler>,
        timer: Arc<dyn Timer>,
    ) -> Self {
        Self {
            seams: Seams {
                backend,
                ledger,
                handler,
                timer,
                filter: Filter::all(),
                settings: ListenerSettings::default(),
            },
            host: PhantomData,
        }
    }

    /// Takes only what the filter lets through. Completions that the filter leaves out stay unhandled in
    /// the ledger, for other listeners.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.seams.filter = filter;
        self
    }

    /// Replaces the [default](ListenerSettings::default) settings.
    #[must_use]
    pub fn with_settings(mut self, settings: ListenerSettings) -> Self {
        self.seams.settings = settings;
        self
    }

    /// Gives the future that does the work, for the host to spawn, and the handle to it. The future ends
    /// after [`close`](ListenerHandle::close), and never by itself; dropping it stops everything at once,
    /// and what was claimed can be claimed again when its lease ends.
    #[must_use]
    pub fn start(self) -> (ListenerHandle<H>, BoxFuture<'static, ()>) {
        let control = Arc::new(Control::new());
        let handle = ListenerHandle {
            control: Arc::clone(&control),
        };
        (handle, Box::pin(Dispatch::new(self.seams, control)))
    }
}

impl<H> fmt::Debug for Listener<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("backend", &self.seams.backend)
            .field("ledger", &self.seams.ledger)
            .field("filter", &self.seams.filter)
            .field("settings", &self.seams.settings)
            .finish_non_exhaustive()
    }
}

/// The program's handle to a running [`Listener`]. Dropping the handle changes nothing.
pub struct ListenerHandle<H: Host> {
    control: Arc<Control<H>>,
}

impl<H: Host> ListenerHandle<H> {
    /// What the listener received and did since it started.
    #[must_use]
    pub fn counters(&self) -> ListenerCounters {
        self.control.counters()
    }

    /// Has the reconciler walk now, through everything that is not handled, and resolves when all it found
    /// is settled. `None` when the listener has ended.
    pub async fn reconcile(&self) -> Option<WalkReport> {
        self.control.walk().await
    }

    /// Takes nothing new, waits `deadline` at most for the handlers that run, releases what was claimed
    /// and not begun, and ends the listener. `None` when the listener had ended already.
    pub async fn close(&self, deadline: Duration) -> Option<Drained> {
        self.control.close(deadline).await
    }
}

impl<H: Host> fmt::Debug for ListenerHandle<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerHandle")
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}
