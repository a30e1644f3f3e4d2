//! One link: a client of the driver's that never gets to reconnect.

use std::collections::BTreeMap;
use std::future::{poll_fn, ready};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use async_trait::async_trait;
use bytes::Bytes;
use midplane_core::bus::{
    Bus, BusError, BusErrorKind, End, Lane, Limits, Link, OpenLink, Outbound, Prefix, Transmit,
};
use parking_lot::RawMutex;
use tokio::runtime::Handle;

use crate::arrivals::{Arrivals, Events, MESSAGES, Subscription};
use crate::error::{lost, refused};
use crate::runtime::{self, Within};
use crate::settings::Nats;
use crate::tls;
use crate::url::Login;

/// Where the driver may reconnect to: nowhere. Nothing listens on port 0, so each attempt fails at once.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// How often the driver asks a silent server whether it is there. It drops the socket of a link that
/// was dropped only when it can write or when two of these went unanswered.
const PING: Duration = Duration::from_secs(5);

/// How many frames wait for the driver to write them.
const COMMANDS: usize = 32;

/// What the driver reads at once, in bytes.
const READ_BYTES: u16 = 32 << 10;

/// What stands between a prefix and a lane.
const SEPARATOR: char = '.';

#[async_trait]
impl Bus for Nats {
    fn limits(&self) -> Limits {
        self.limits
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let handle = runtime::handle().map_err(|error| {
            BusError::new(BusErrorKind::Unreachable, "no thread for the NATS driver")
                .caused_by(error)
        })?;
        Within::new(handle.clone(), open(self, handle)).await
    }
}

/// One attempt to connect, on this runtime.
async fn open(nats: &Nats, runtime: Handle) -> Result<Link, BusError> {
    let arrivals = Arc::new(Arrivals::new(nats.queue));
    let events = Events(Arc::clone(&arrivals));
    let client = login(nats)
        .await?
        .event_callback(move |event| {
            events.take(event);
            ready(())
        })
        .ignore_discovered_servers()
        .max_reconnects(nats.endpoint.servers.len())
        .reconnect_delay_callback(|_| Duration::ZERO)
        .ping_interval(PING)
        .client_capacity(COMMANDS)
        .subscription_capacity(MESSAGES)
        .read_buffer_capacity(READ_BYTES)
        .connect(nats.endpoint.servers.clone())
        .await
        .map_err(|error| refused(nats, error))?;
    // The driver has no switch for its reconnection. It would lose messages in silence, so it is left
    // without a server to reconnect to; had it reconnected before this, it would count two connections.
    let pool = client.set_server_pool(NOWHERE).await;
    if pool.is_err() || client.statistics().connects.load(Ordering::Relaxed) != 1 {
        // The server may have said why; the driver reports that before it reports that the connection is gone.
        return Err(match poll_fn(|cx| arrivals.inbox.poll_next(cx)).await {
            Some(Err(error)) => error,
            _ => lost().error(),
        });
    }
    let (largest, limit) = (client.max_payload(), nats.limits.frame);
    if largest < limit {
        return Err(BusError::new(
            BusErrorKind::Protocol,
            format!(
                "the NATS server takes messages of {largest} bytes and `with_frame_limit` is {limit}: lower \
                 `with_frame_limit` on every node, or raise the server's `max_payload`"
            ),
        ));
    }
    let connection = Connection {
        client,
        subscriptions: BTreeMap::new(),
    };
    let link = OpenLink::new(arrivals.inbox.clone(), connection);
    Ok(Link {
        frames: link.clone().frames(|_| {}),
        transmit: Box::new(Sender {
            link,
            arrivals,
            runtime,
            prefix: nats.prefix.clone(),
            limits: nats.limits,
        }),
    })
}

/// The driver's options for one link. Files are read here, anew for each link.
async fn login(nats: &Nats) -> Result<ConnectOptions, BusError> {
    let options = ConnectOptions::new()
        .name("midplane")
        .tls_client_config(tls::config(nats)?);
    Ok(match nats.endpoint.login.clone() {
        Login::Anonymous => options,
        Login::Token(token) => options.token(token),
        Login::Password { user, password } => options.user_and_password(user, password),
        Login::Seed(seed) => options.nkey(seed),
        Login::File(path) => options.credentials_file(&path).await.map_err(|error| {
            let message = format!("no credentials in the file {}", path.display());
            BusError::new(BusErrorKind::Denied, message).caused_by(error)
        })?,
    })
}

/// What is open of a link.
struct Connection {
    client: Client,
    subscriptions: BTreeMap<Lane, Subscription>,
}

/// The sending half.
struct Sender {
    link: Arc<OpenLink<RawMutex, Connection>>,
    arrivals: Arc<Arrivals>,
    runtime: Handle,
    prefix: Prefix,
    limits: Limits,
}

impl Sender {
    /// The error of a call that failed: the reason for which the link is over, which may not have arrived yet.
    fn failure(&self) -> BusError {
        self.link.inbox().ended().unwrap_or_else(lost).error()
    }

    /// The driver's client, while the link lives.
    fn client(&self) -> Result<Client, BusError> {
        self.link.on(|connection| connection.client.clone())
    }

    /// Subscribes to the lanes, and returns when a message of our own came back on each of them. The driver's
    /// `subscribe` returns before the server has received it, and its `flush` when the bytes are written.
    /// The server takes what we send in order, so everything sent before is with it, too.
    async fn prove(&self, lanes: &[Lane]) -> Result<(), BusError> {
        let client = self.client()?;
        let token = client.new_inbox();
        let came_back = self.arrivals.expect(token.clone(), lanes);
        for lane in lanes {
            let subject = self.prefix.channel(SEPARATOR, *lane);
            if self
                .link
                .on(|open| !open.subscriptions.contains_key(lane))?
            {
                let subscribed = client.subscribe(subject.clone()).await;
                let subscriber = subscribed.map_err(|_| self.failure())?;
                let arrivals = Arc::clone(&self.arrivals);
                let subscription = Subscription::start(&self.runtime, *lane, subscriber, arrivals);
                self.link
                    .on(|open| drop(open.subscriptions.insert(*lane, subscription)))?;
            }
            let probed = client.publish_with_reply(subject, token.clone(), Bytes::new());
            probed.await.map_err(|_| self.failure())?;
        }
        // Had the link ended before the probe was expected, nobody would answer.
        self.link.check()?;
        came_back.await.map_err(|_| self.failure())?;
        self.link.on(|open| {
            for lane in lanes {
                if let Some(subscription) = open.subscriptions.get_mut(lane) {
                    subscription.proven = true;
                }
            }
        })
    }
}

#[async_trait]
impl Transmit for Sender {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        let new: Vec<_> = self.link.on(|open| {
            let known = |lane: &Lane| open.subscriptions.get(lane);
            let proven = |lane: &Lane| known(lane).is_some_and(|known| known.proven);
            lanes.iter().copied().filter(|lane| !proven(lane)).collect()
        })?;
        if new.is_empty() {
            return Ok(());
        }
        self.prove(&new).await
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.link
            .on(|open| open.subscriptions.retain(|lane, _| !lanes.contains(lane)))
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        self.limits.check(frames)?;
        let client = self.client()?;
        for Outbound { lane, frame } in frames {
            let subject = self.prefix.channel(SEPARATOR, *lane);
            let sent = client.publish(subject, frame.clone()).await;
            sent.map_err(|_| self.failure())?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), BusError> {
        if matches!(self.link.inbox().ended(), Some(End::Closed)) {
            return Ok(());
        }
        // Lane 0 stands for any: what comes back on it proves that all that was sent is with the server.
        self.prove(&[Lane(0)]).await?;
        self.link.close()
    }
}
