//! What the driver hands over: from its subscribers and events to the frames that wait, or to the end of the link.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_nats::{Event, Subscriber};
use futures::StreamExt;
use futures::channel::oneshot;
use midplane_core::bus::{BusError, BusErrorKind, End, Inbound, Inbox, Lane, Secrets};
use parking_lot::{Mutex, RawMutex};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, unconstrained};

use crate::error::{lost, server_error};

/// How many messages the driver holds per lane: as many of 64 bytes with their headers as tokio lets it read before it
/// stops the driver, 128 reads of 32 KiB. Then the subscription's task empties what the driver holds.
pub(crate) const MESSAGES: usize = 64 << 10;

/// How many messages of a link may be on their way to its second connection.
pub(crate) const WINDOW: usize = 256;

/// Where the driver's tasks put what a link receives, and the reason for which the link is over.
pub(crate) struct Arrivals {
    pub(crate) inbox: Arc<Inbox<RawMutex>>,
    probe: Mutex<Option<Probe>>,
    /// How many more messages may be on their way to the link's second connection; closed when the link is over.
    pub(crate) window: Semaphore,
}

/// An empty message that was sent to some lanes and is expected back on each.
struct Probe {
    token: String,
    lanes: BTreeSet<Lane>,
    /// Sent to when all are back, dropped when the link ends.
    done: oneshot::Sender<()>,
}

impl Arrivals {
    pub(crate) fn new(queue: usize) -> Self {
        Self {
            inbox: Arc::new(Inbox::new(queue)),
            probe: Mutex::new(None),
            window: Semaphore::new(WINDOW),
        }
    }

    /// A message on its way to the second connection has come there, or one of an unknown sender.
    pub(crate) fn make_room(&self) {
        if self.window.available_permits() < WINDOW {
            self.window.add_permits(1);
        }
    }

    /// The error of a call that failed: the reason for which the link is over, which may not have arrived yet.
    pub(crate) fn failure(&self) -> BusError {
        self.inbox.ended().unwrap_or_else(lost).error()
    }

    /// Expects a probe with this token on these lanes. What is returned resolves when all are back, and fails when the
    /// link ends.
    pub(crate) fn expect(&self, token: String, lanes: &[Lane]) -> oneshot::Receiver<()> {
        let (done, came_back) = oneshot::channel();
        let lanes = lanes.iter().copied().collect();
        *self.probe.lock() = Some(Probe { token, lanes, done });
        came_back
    }

    /// Ends the link, and with it the waits for a probe and for room.
    pub(crate) fn end(&self, end: End) {
        self.inbox.end(end);
        self.window.close();
        let probe = self.probe.lock().take();
        drop(probe);
    }

    /// Takes a probe, which may be another node's.
    fn returned(&self, lane: Lane, token: &str) {
        let mut probe = self.probe.lock();
        if let Some(probe) = probe.as_mut().filter(|probe| probe.token == token) {
            probe.lanes.remove(&lane);
        }
        let done = probe.take_if(|probe| probe.lanes.is_empty());
        drop(probe);
        if let Some(probe) = done {
            // The call that waited may have been dropped.
            let _ = probe.done.send(());
        }
    }
}

/// What the driver reports of a connection. It is dropped when the driver's tasks are gone, which
/// ends the link too.
pub(crate) struct Events {
    pub(crate) arrivals: Arc<Arrivals>,
    /// What no text of the server may show.
    pub(crate) secrets: Secrets,
    /// How many messages the driver holds for a subscription.
    pub(crate) messages: usize,
}

impl Events {
    pub(crate) fn take(&self, event: Event) {
        let end = match event {
            Event::ServerError(error) => server_error(&error, &self.secrets),
            Event::SlowConsumer(_) => End::Failed(
                BusErrorKind::Overflow,
                format!(
                    "more than {} messages arrived at once and some are gone",
                    self.messages
                ),
            ),
            Event::Disconnected | Event::Closed => lost(),
            _ => return,
        };
        self.arrivals.end(end);
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.arrivals.end(lost());
    }
}

/// A subscription to one lane, and the task that moves what arrives on it to the inbox.
pub(crate) struct Subscription {
    task: JoinHandle<()>,
    /// Whether the server is known to have the subscription: something came back through it.
    pub(crate) proven: bool,
}

impl Subscription {
    pub(crate) fn start(
        runtime: &Handle,
        lane: Lane,
        subscriber: Subscriber,
        arrivals: Arc<Arrivals>,
    ) -> Self {
        // It must empty the driver's queue at one go, see `MESSAGES`.
        let receiving = unconstrained(receive(lane, subscriber, arrivals));
        Self {
            task: runtime.spawn(receiving),
            proven: false,
        }
    }
}

impl Subscription {
    /// Unsubscribes: what the driver is asked for next reaches the server behind that.
    pub(crate) async fn end(mut self) {
        self.task.abort();
        // Its task was cancelled, or had ended.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Subscription {
    /// The task drops the driver's subscriber, which unsubscribes.
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(lane: Lane, mut subscriber: Subscriber, arrivals: Arc<Arrivals>) {
    while let Some(message) = subscriber.next().await {
        match message.reply {
            Some(token) if message.payload.is_empty() => arrivals.returned(lane, &token),
            _ => arrivals.inbox.push(Inbound {
                lane,
                frame: message.payload,
            }),
        }
    }
    arrivals.end(lost());
}
