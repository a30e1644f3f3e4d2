//! One link: a client of the driver's that never gets to reconnect.

use std::collections::BTreeMap;
use std::fs;
use std::future::{poll_fn, ready};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, ReconnectToServer};
use async_trait::async_trait;
use bytes::Bytes;
use midplane_core::bus::{
    Bus, BusError, BusErrorKind, End, Lane, Limits, Link, OpenLink, Outbound, Secrets, Transmit,
};
use parking_lot::RawMutex;
use tokio::runtime::Handle;

use crate::arrivals::{Arrivals, Events, MESSAGES, Subscription};
use crate::error::{is_full, lost, refused};
use crate::runtime::{self, Within};
use crate::settings::Nats;
use crate::url::Login;
use crate::{tls, trial};

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
pub(crate) const SEPARATOR: char = '.';

/// The least that a message must be able to hold, in bytes: a heartbeat with something in it.
const SMALLEST: usize = 1 << 10;

#[async_trait]
impl Bus for Nats {
    fn limits(&self) -> Limits {
        let payload = self.found.payload.load(Ordering::Relaxed);
        Limits::new(self.limits.frame.min(payload))
    }

    fn broker(&self) -> Option<String> {
        self.found.broker.lock().clone()
    }

    fn prefix(&self) -> &str {
        self.prefix.as_str()
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
    let (client, arrivals) = dial(nats).await?;
    let largest = client.max_payload();
    if largest < SMALLEST {
        return Err(BusError::new(
            BusErrorKind::Protocol,
            format!(
                "the NATS server takes messages of {largest} bytes, and a node needs {SMALLEST}: raise the server's \
                 `max_payload`"
            ),
        ));
    }
    nats.found.payload.store(largest, Ordering::Relaxed);
    *nats.found.broker.lock() = Some(identity(&client));
    let connection = Connection {
        client,
        subscriptions: BTreeMap::new(),
    };
    let link = OpenLink::new(arrivals.inbox.clone(), connection);
    Ok(Link {
        frames: link.clone().frames(|_, _| {}),
        transmit: Box::new(Sender {
            link,
            arrivals,
            runtime,
            limits: nats.limits(),
            nats: nats.clone(),
            full: usize::MAX,
        }),
    })
}

/// Which server it is, and of which cluster: nodes on several servers of one cluster hear each other.
fn identity(client: &Client) -> String {
    let server = client.server_info();
    match server.cluster {
        Some(cluster) => format!("nats cluster {cluster}, server {}", server.server_id),
        None => format!("nats server {}", server.server_id),
    }
}

/// A client of the driver's with its one connection, and where it puts what arrives. The runtime is current.
pub(crate) async fn dial(nats: &Nats) -> Result<(Client, Arc<Arrivals>), BusError> {
    let (options, secrets) = login(nats)?;
    let arrivals = Arc::new(Arrivals::new(nats.queue));
    let events = Events {
        arrivals: Arc::clone(&arrivals),
        secrets: secrets.clone(),
    };
    let connected = Arc::new(AtomicBool::new(false));
    let was_connected = Arc::clone(&connected);
    let client = options
        .event_callback(move |event| {
            events.take(event);
            ready(())
        })
        .ignore_discovered_servers()
        .max_reconnects(nats.endpoint.servers.len())
        .reconnect_delay_callback(|_| Duration::ZERO)
        // The driver logs as an error that it gives up, but where somebody else chooses the servers.
        .reconnect_to_server_callback(move |servers, _| {
            let server = servers.into_iter().next();
            let server = server.filter(|_| was_connected.load(Ordering::Relaxed));
            ready(server.map(|server| ReconnectToServer {
                addr: server.addr,
                delay: Some(Duration::ZERO),
            }))
        })
        .ping_interval(PING)
        .client_capacity(COMMANDS)
        .subscription_capacity(MESSAGES)
        .read_buffer_capacity(READ_BYTES)
        .connect(nats.endpoint.servers.clone())
        .await
        .map_err(|error| refused(nats, &secrets, error))?;
    connected.store(true, Ordering::Relaxed);
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
    Ok((client, arrivals))
}

/// The driver's options for one link, and what no text about it may show. Files are read here, anew for each link.
fn login(nats: &Nats) -> Result<(ConnectOptions, Secrets), BusError> {
    let options = ConnectOptions::new()
        .name("midplane")
        .tls_client_config(tls::config(nats)?);
    let secrets = Secrets::default();
    Ok(match nats.endpoint.login.clone() {
        Login::Anonymous => (options, secrets),
        Login::Token(token) => {
            let secrets = secrets.with(&token);
            (options.token(token), secrets)
        }
        Login::Password { user, password } => {
            let secrets = secrets.with(&password);
            (options.user_and_password(user, password), secrets)
        }
        Login::Seed(seed) => {
            let secrets = secrets.with(&seed);
            (options.nkey(seed), secrets)
        }
        Login::File(path) => {
            let unusable = |error: io::Error| {
                let message = format!("no credentials in the file {}", path.display());
                BusError::new(BusErrorKind::Denied, message).caused_by(error)
            };
            let text = fs::read_to_string(&path).map_err(unusable)?;
            // A token and a seed, between lines of dashes.
            let lines = text.lines().map(str::trim);
            let lines = lines.filter(|line| line.len() > 20 && !line.starts_with("--"));
            let secrets = lines.fold(secrets, |secrets, line| secrets.with(line));
            (options.credentials(&text).map_err(unusable)?, secrets)
        }
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
    limits: Limits,
    nats: Nats,
    /// How many subscriptions are known to be too many for the server of this link.
    full: usize,
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

    /// Finds out whether the server takes these lanes too. A server that does not, by its `max_subscriptions`, says so by
    /// ending the connection: so that is tried on another one, up to the next power of two.
    ///
    /// # Errors
    /// When it does not take them. The link lives.
    async fn make_room(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        let found = &self.nats.found.subscriptions;
        let has = self.link.on(|open| open.subscriptions.len())?;
        let wanted = has + lanes.len();
        if wanted > found.load(Ordering::Relaxed) && wanted < self.full {
            let trial = trial::most(&self.nats, has, wanted.next_power_of_two());
            // Where none can be made, the link itself will show.
            let Ok(most) = Within::new(self.runtime.clone(), trial).await else {
                return Ok(());
            };
            found.store(most.known, Ordering::Relaxed);
            self.full = most.refused.unwrap_or(self.full);
        }
        if wanted < self.full {
            return Ok(());
        }
        let most = self.full - 1;
        let message = format!(
            "the NATS server takes {most} subscriptions of a connection and {wanted} lanes are wanted: raise its \
             `max_subscriptions`, or give every node fewer lanes"
        );
        Err(BusError::new(BusErrorKind::TooManyLanes, message))
    }

    /// Subscribes to the lanes, and returns when a message of our own came back on each of them. The driver's
    /// `subscribe` returns before the server has received it, and its `flush` when the bytes are written.
    /// The server takes what we send in order, so everything sent before is with it, too.
    async fn prove(&self, lanes: &[Lane]) -> Result<(), BusError> {
        let client = self.client()?;
        let token = client.new_inbox();
        let came_back = self.arrivals.expect(token.clone(), lanes);
        for lane in lanes {
            let subject = self.nats.prefix.channel(SEPARATOR, *lane);
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
        self.make_room(&new).await?;
        let proven = self.prove(&new).await;
        if self.link.inbox().ended().is_some_and(|end| is_full(&end)) {
            // The server takes less than it did: the next link asks before.
            self.nats.found.subscriptions.store(0, Ordering::Relaxed);
        }
        proven
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        let ended: Vec<_> = self.link.on(|open| {
            let subscriptions = lanes.iter();
            let ended = subscriptions.filter_map(|lane| open.subscriptions.remove(lane));
            ended.collect()
        })?;
        for subscription in ended {
            subscription.end().await;
        }
        Ok(())
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        self.limits.check(frames)?;
        let client = self.client()?;
        for Outbound { lane, frame } in frames {
            let subject = self.nats.prefix.channel(SEPARATOR, *lane);
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
