//! Handling every completion: the stream for speed, the ledger for certainty.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use futures::future::BoxFuture;
use midplane_core::{Host, Runtime, Timer};

use crate::backend::CompletionBackend;
use crate::control::Control;
use crate::dispatch::{Dispatch, Seams};
use crate::filter::Filter;
use crate::handler::Handler;
use crate::ledger::Ledger;
use crate::notice::ListenerNotice;
use crate::report::{Drained, ListenerCounters, ListenerStatus, Reconciled};
use crate::settings::ListenerSettings;

/// Handles every completion that its filter lets through: at once while the stream works, and by the
/// ledger alone when the stream does not.
///
/// The stream says when to look into the ledger, and so do each subscription, a renewed one included, the end of a pause
/// after a failure, and an interval. A look takes what finished and is not handled, whether or not the stream brought it,
/// and looks follow each other at once while they find more. What the stream lost is handled so, and with no stream at
/// all everything is.
///
/// What is taken is under a lease, which is renewed until the completion is recorded as handled. At most
/// [`concurrency`](ListenerSettings::concurrency) handlers run at once. A flow is taken by one listener of all those on
/// the ledger, and its executions are handled one after the other in the order in which they finished. An
/// execution whose handler failed, panicked or took too long is tried again after a pause, and what is behind it in its
/// flow waits for that, or until it is a [dead letter](ListenerSettings::attempts).
///
/// Listeners with the ledger of one store, or of one [group](crate::Groups) of a store, share the work. Listeners of different
/// groups each handle everything.
pub struct Listener<H> {
    seams: Seams,
    host: PhantomData<fn() -> H>,
}

impl<H: Host> Listener<H> {
    /// A listener that subscribes to the backend and has its completions handled by the handler. The ledger
    /// is of the same store: the store itself, or that of a [group](crate::Groups).
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
                runtime: None,
                filter: Filter::all(),
                settings: ListenerSettings::default(),
                observer: None,
            },
            host: PhantomData,
        }
    }

    /// Takes only what the filter lets through. Completions that the filter leaves out stay unhandled in
    /// the ledger, for other listeners; what is behind one of them in its flow waits until another has handled it.
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

    /// Has each handler run as a task of this runtime. A handler that blocks its thread then holds up its own flow, and a
    /// place among those that run at once, and nothing else, on a runtime with threads to spare. Without this all
    /// handlers run as part of the listener's future.
    #[must_use]
    pub fn with_runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.seams.runtime = Some(runtime);
        self
    }

    /// Calls this function when a part of the listener stops working, with the reason, and when it works again: once for
    /// each incident. The function is called by the listener's task and must not block.
    #[must_use]
    pub fn with_observer(
        mut self,
        observer: impl Fn(&ListenerNotice) + Send + Sync + 'static,
    ) -> Self {
        self.seams.observer = Some(Box::new(observer));
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

    /// What the listener is doing, what it did, and what does not work.
    #[must_use]
    pub fn status(&self) -> ListenerStatus {
        self.control.status()
    }

    /// Has the listener look into the ledger now, and resolves when nothing is left that can be taken and all that was
    /// taken is recorded. What failed and waits for another try is not waited for. `None` when the listener has ended.
    pub async fn reconcile(&self) -> Option<Reconciled> {
        self.control.reconcile().await
    }

    /// Takes nothing new, waits `deadline` at most for the handlers that run, gives back what was claimed
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
