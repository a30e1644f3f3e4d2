//! What the handle and the task of a listener share: requests one way, counters the other.

use alloc::vec::Vec;
use core::mem;
use core::task::Waker;
use core::time::Duration;

use futures::channel::oneshot;
use lock_api::Mutex;
use midplane_core::Host;

use crate::notice::ListenerNotice;
use crate::report::{Drained, ListenerCounters, ListenerStatus, ListenerTrouble, Reconciled};

/// The requests of the handle and the counters of the task, under one lock.
pub(crate) struct Control<H: Host>(Mutex<H::Mutex, Requests>);

#[derive(Default)]
struct Requests {
    status: ListenerStatus,
    /// Callers that wait until everything is taken, and were not noticed yet.
    reconciles: Vec<ReconcileReply>,
    close: Option<CloseRequest>,
    /// The task has ended: no request is taken any more.
    ended: bool,
    /// Wakes the task.
    waker: Option<Waker>,
}

/// Where the report goes of what was done until everything was taken.
pub(crate) type ReconcileReply = oneshot::Sender<Reconciled>;

/// The request to end the listener.
pub(crate) struct CloseRequest {
    /// How long running handlers may go on.
    pub(crate) deadline: Duration,
    pub(crate) reply: oneshot::Sender<Drained>,
}

impl<H: Host> Control<H> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Requests::default()))
    }

    pub(crate) fn counters(&self) -> ListenerCounters {
        self.0.lock().status.counters
    }

    pub(crate) fn status(&self) -> ListenerStatus {
        self.0.lock().status.clone()
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut ListenerCounters)) {
        count(&mut self.0.lock().status.counters);
    }

    /// Records what is in work.
    pub(crate) fn measure(&self, running: usize, waiting: usize, claimed: usize) {
        let mut requests = self.0.lock();
        let status = &mut requests.status;
        (status.running, status.waiting, status.claimed) = (running, waiting, claimed);
    }

    /// Records what does not work, and what works again.
    pub(crate) fn tell(&self, notice: ListenerNotice) {
        let mut requests = self.0.lock();
        let troubles = &mut requests.status.troubles;
        let part = match &notice {
            ListenerNotice::Trouble { part, .. } | ListenerNotice::Recovered { part } => *part,
        };
        troubles.retain(|trouble| trouble.part != part);
        if let ListenerNotice::Trouble { part, kind, text } = notice {
            troubles.push(ListenerTrouble { part, kind, text });
        }
    }

    /// Asks the task to take everything. `None` when the task has ended, or ends before that is done.
    pub(crate) async fn reconcile(&self) -> Option<Reconciled> {
        let (reply, report) = oneshot::channel();
        self.request(|requests| requests.reconciles.push(reply));
        report.await.ok()
    }

    /// Asks the task to end. `None` when it has ended already.
    pub(crate) async fn close(&self, deadline: Duration) -> Option<Drained> {
        let (reply, drained) = oneshot::channel();
        self.request(|requests| requests.close = Some(CloseRequest { deadline, reply }));
        drained.await.ok()
    }

    /// Leaves a request, and wakes the task.
    fn request(&self, leave: impl FnOnce(&mut Requests)) {
        let mut requests = self.0.lock();
        if requests.ended {
            // The request is dropped with its reply, so the caller learns that the task has ended.
            return;
        }
        leave(&mut requests);
        let waker = requests.waker.take();
        drop(requests);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The callers that wait until everything is taken.
    pub(crate) fn take_reconciles(&self) -> Vec<ReconcileReply> {
        mem::take(&mut self.0.lock().reconciles)
    }

    /// Registers the task's waker, and takes the request to close where `take` says so.
    pub(crate) fn register(&self, waker: &Waker, take: bool) -> Option<CloseRequest> {
        let mut requests = self.0.lock();
        let close = if take { requests.close.take() } else { None };
        let replaced = requests.waker.replace(waker.clone());
        drop(requests);
        drop(replaced);
        close
    }

    /// Ends the task: callers that wait learn so by the end of their channels.
    pub(crate) fn end(&self) {
        let mut requests = self.0.lock();
        requests.ended = true;
        let waiting = (mem::take(&mut requests.reconciles), requests.close.take());
        drop(requests);
        drop(waiting);
    }
}
