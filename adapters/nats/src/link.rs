//! One link: a client of the driver's that is never let reconnect.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{poll_fn, ready};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectErrorKind, Event, ServerError, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::oneshot;
use futures::{Stream, StreamExt};
use midplane_core::bus::{
    BusError, BusErrorKind, End, Inbound, Inbox, Lane, Link, Outbound, Transmit,
};
use parking_lot::RawMutex;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, unconstrained};

use crate::options::Options;
use crate::runtime::{self, Within};

/// Where the driver may reconnect to: nowhere. Nothing listens on port 0, so each attempt fails at once.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// How often the driver asks a silent server whether it is there. It drops the socket of a link that
/// nobody holds any more only when it can write or when two of these went unanswered.
const PING: Duration = Duration::from_secs(5);

/// How many frames wait for the driver to write them.
const COMMANDS: usize = 32;

/// What the driver reads at once, and how many messages it holds for us per lane. tokio stops it after 128
/// reads, 4 MiB, which are 65,536 messages of 64 bytes with their headers; then we empty what it holds.
const READ_BYTES: u16 = 32 << 10;
const MESSAGES: usize = 64 << 10;

/// One attempt to connect, on the current tokio runtime or on our own.
pub(crate) async fn open(options: &Arc<Options>) -> Result<Link, BusError> {
    let handle = runtime::handle().map_err(|error| {
        BusError::new(BusErrorKind::Unreachable, "no thread for the NATS driver").caused_by(error)
    })?;
    Within::new(handle.clone(), connect(options, handle)).await
}

async fn connect(options: &Arc<Options>, handle: Handle) -> Result<Link, BusError> {
    let shared = Arc::new(Shared {
        inbox: Inbox::new(options.queue),
        probe: Mutex::new(None),
    });
    let events = Events(Arc::clone(&shared));
    let client = options
        .driver()
        .await?
        .event_callback(move |event| {
            events.hear(event);
            ready(())
        })
        .ignore_discovered_servers()
        .max_reconnects(options.servers.len())
        .reconnect_delay_callback(|_| Duration::ZERO)
        .ping_interval(PING)
        .client_capacity(COMMANDS)
        .subscription_capacity(MESSAGES)
        .read_buffer_capacity(READ_BYTES)
        .connect(options.servers.clone())
        .await
        .map_err(|error| refused(options, error))?;
    // The driver has no switch for its reconnection. It would lose messages and say nothing, so it is left
    // without a server to reconnect to; had it reconnected before this, it would count two connections.
    let pool = client.set_server_pool(NOWHERE).await;
    if pool.is_err() || client.statistics().connects.load(Ordering::Relaxed) != 1 {
        // The server may have said why; the driver tells that before it tells that the connection is gone.
        return Err(match poll_fn(|cx| shared.inbox.poll_next(cx)).await {
            Some(Err(error)) => error,
            _ => lost().error(),
        });
    }
    let largest = client.max_payload();
    if largest < options.frame_limit {
        return Err(BusError::new(
            BusErrorKind::Protocol,
            format!(
                "the NATS server takes messages of {largest} bytes and `with_frame_limit` is {}: lower \
                 `with_frame_limit` on every node, or raise the server's `max_payload`",
                options.frame_limit
            ),
        ));
    }
    let ears = Arc::new(Ears::default());
    let frames = Frames {
        shared: Arc::clone(&shared),
        _ears: Arc::clone(&ears),
    };
    Ok(Link {
        transmit: Box::new(Sender {
            options: Arc::clone(options),
            client: Some(client),
            handle,
            shared,
            ears,
        }),
        frames: frames.boxed(),
    })
}

/// What the tasks on the runtime and both halves of the link share.
struct Shared {
    inbox: Inbox<RawMutex>,
    probe: Mutex<Option<Probe>>,
}

/// An empty message that was sent to some lanes and is expected back on each.
struct Probe {
    token: String,
    lanes: BTreeSet<Lane>,
    /// Sent to when all are back, dropped when the link ends.
    done: oneshot::Sender<()>,
}

impl Shared {
    /// Nothing under the lock can panic half-way.
    fn probe(&self) -> MutexGuard<'_, Option<Probe>> {
        self.probe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, end: End) {
        self.inbox.end(end);
        drop(self.probe().take());
    }

    /// A probe arrived, ours or another node's.
    fn returned(&self, lane: Lane, token: &str) {
        let mut probe = self.probe();
        if let Some(probe) = probe.as_mut().filter(|probe| probe.token == token) {
            probe.lanes.remove(&lane);
        }
        if let Some(done) = probe.take_if(|probe| probe.lanes.is_empty()) {
            // Whoever waited may be gone.
            let _ = done.done.send(());
        }
    }
}

/// What the driver tells of the connection. It is dropped when the driver's tasks are gone, however they
/// went, and that is the end too.
struct Events(Arc<Shared>);

impl Events {
    fn hear(&self, event: Event) {
        let end = match event {
            Event::ServerError(error) => said(&error),
            Event::SlowConsumer(_) => End::Failed(
                BusErrorKind::Overflow,
                format!("more than {MESSAGES} messages arrived at once and some are gone"),
            ),
            Event::Disconnected | Event::Closed => lost(),
            _ => return,
        };
        self.0.end(end);
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.0.end(lost());
    }
}

fn lost() -> End {
    End::Failed(
        BusErrorKind::Unreachable,
        String::from("the connection to the NATS server is gone"),
    )
}

/// What an error from the server means. Its texts name subjects and no secrets.
fn said(error: &ServerError) -> End {
    let text = error.to_string();
    let lower = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let kind = if says(&["authorization", "authentication", "permissions"]) {
        BusErrorKind::Denied
    } else if says(&["slow consumer"]) {
        BusErrorKind::Overflow
    } else if says(&["maximum", "stale", "shutdown", "closed"]) && !says(&["payload"]) {
        BusErrorKind::Unreachable
    } else {
        BusErrorKind::Protocol
    };
    let hint = match kind {
        BusErrorKind::Denied => "; the user must be allowed to publish and subscribe to the lanes",
        _ => "",
    };
    End::Failed(kind, format!("the NATS server says: {text}{hint}"))
}

/// Why no link was opened. The driver's errors name servers and no secrets.
fn refused(options: &Options, error: ConnectError) -> BusError {
    // Only one of the refusals has a kind of its own; the others are told by their text.
    let text = error.to_string().to_lowercase();
    let denied = matches!(
        error.kind(),
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
    ) || text.contains("authentication")
        || text.contains("authorization");
    let servers = options.servers().join(", ");
    if denied {
        let message = format!("the NATS server does not accept the credentials ({servers})");
        BusError::new(BusErrorKind::Denied, message)
    } else {
        let message = format!("no NATS server was reached at {servers}");
        BusError::new(BusErrorKind::Unreachable, message)
    }
    .caused_by(error)
}

/// The lanes that are heard; when both halves of the link are gone, so are they.
#[derive(Default)]
struct Ears(Mutex<BTreeMap<Lane, Ear>>);

impl Ears {
    fn lanes(&self) -> MutexGuard<'_, BTreeMap<Lane, Ear>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that moves what arrives on one lane to the queue.
struct Ear {
    task: AbortHandle,
    /// The server has the subscription: something came back through it.
    proven: bool,
}

impl Drop for Ear {
    /// The task drops the driver's subscriber, which unsubscribes.
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(lane: Lane, mut subscriber: Subscriber, shared: Arc<Shared>) {
    while let Some(message) = subscriber.next().await {
        match message.reply {
            Some(token) if message.payload.is_empty() => shared.returned(lane, &token),
            _ => shared.inbox.push(Inbound {
                lane,
                frame: message.payload,
            }),
        }
    }
    shared.end(lost());
}

/// The receiving half.
struct Frames {
    shared: Arc<Shared>,
    _ears: Arc<Ears>,
}

impl Stream for Frames {
    type Item = Result<Inbound, BusError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.shared.inbox.poll_next(cx)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.shared.inbox.abandon();
    }
}

/// The sending half.
struct Sender {
    options: Arc<Options>,
    /// Dropped when the link is closed, and with it the connection.
    client: Option<Client>,
    handle: Handle,
    shared: Arc<Shared>,
    ears: Arc<Ears>,
}

impl Sender {
    /// Why a call failed: the reason why the link is over, which may not have been heard yet.
    fn failure(&self) -> BusError {
        self.shared.inbox.ended().unwrap_or_else(lost).error()
    }

    /// The driver's client, while the link lives.
    fn client(&self) -> Result<&Client, BusError> {
        match (&self.client, self.shared.inbox.ended()) {
            (Some(client), None) => Ok(client),
            (_, end) => Err(end.unwrap_or(End::Closed).error()),
        }
    }

    /// Asks for the lanes, and returns when a message of our own came back on each of them. The driver's
    /// `subscribe` returns before the server has heard of it, and its `flush` when the bytes are written.
    /// The server takes what we send in order, so everything sent before is with it, too.
    async fn hear(&self, lanes: &[Lane]) -> Result<(), BusError> {
        let client = self.client()?;
        let (done, came_back) = oneshot::channel();
        let token = client.new_inbox();
        *self.shared.probe() = Some(Probe {
            token: token.clone(),
            lanes: lanes.iter().copied().collect(),
            done,
        });
        for lane in lanes {
            let subject = self.options.subject(*lane);
            if !self.ears.lanes().contains_key(lane) {
                let subscribed = client.subscribe(subject.clone()).await;
                let subscriber = subscribed.map_err(|_| self.failure())?;
                let listening = listen(*lane, subscriber, Arc::clone(&self.shared));
                // It must empty the driver's queue at one go, see `MESSAGES`.
                let task = self.handle.spawn(unconstrained(listening)).abort_handle();
                let proven = false;
                self.ears.lanes().insert(*lane, Ear { task, proven });
            }
            let probed = client.publish_with_reply(subject, token.clone(), Bytes::new());
            probed.await.map_err(|_| self.failure())?;
        }
        // Had the link ended before the probe was set, nobody would answer.
        self.client()?;
        came_back.await.map_err(|_| self.failure())?;
        let mut ears = self.ears.lanes();
        for lane in lanes {
            if let Some(ear) = ears.get_mut(lane) {
                ear.proven = true;
            }
        }
        drop(ears);
        self.client().map(drop)
    }
}

#[async_trait]
impl Transmit for Sender {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        let new: Vec<_> = {
            let ears = self.ears.lanes();
            let proven = |lane: &Lane| ears.get(lane).is_some_and(|ear| ear.proven);
            lanes.iter().copied().filter(|lane| !proven(lane)).collect()
        };
        if new.is_empty() {
            return self.client().map(drop);
        }
        self.hear(&new).await
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.client()?;
        for lane in lanes {
            drop(self.ears.lanes().remove(lane));
        }
        Ok(())
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        let limit = self.options.frame_limit;
        if let Some(large) = frames.iter().find(|outbound| outbound.frame.len() > limit) {
            let message = format!(
                "a frame has {} bytes and `with_frame_limit` is {limit}",
                large.frame.len()
            );
            return Err(BusError::new(BusErrorKind::TooLarge, message));
        }
        let client = self.client()?;
        for Outbound { lane, frame } in frames {
            let subject = self.options.subject(*lane);
            let sent = client.publish(subject, frame.clone()).await;
            sent.map_err(|_| self.failure())?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), BusError> {
        if matches!(self.shared.inbox.ended(), Some(End::Closed)) {
            return Ok(());
        }
        self.hear(&[Lane(0)]).await?;
        self.shared.end(End::Closed);
        self.ears.lanes().clear();
        self.client = None;
        Ok(())
    }
}
