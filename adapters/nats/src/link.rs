//! One link: a connection for the lanes, and one that brings back what has to come back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::Client;
use async_trait::async_trait;
use bytes::Bytes;
use midplane_core::bus::{
    Bus, BusError, BusErrorKind, End, Lane, Limits, Link, OpenLink, Outbound, Transmit,
};
use parking_lot::RawMutex;
use tokio::runtime::Handle;

use crate::arrivals::{Arrivals, Subscription};
use crate::dial::{Purpose, dial};
use crate::error::is_full;
use crate::relay::{Order, Relay, Relaying};
use crate::runtime::{self, Within};
use crate::settings::{Nats, SEPARATOR};
use crate::trial;

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
    let arrivals = Arc::new(Arrivals::new(nats.queue));
    let servers = &nats.endpoint.servers;
    let first = dial(nats, servers, Purpose::Lanes, &arrivals).await?;
    let (relay, relaying, largest) = Relay::open(nats, &first, &arrivals).await?;
    let largest = first.largest.min(largest);
    nats.found.payload.store(largest, Ordering::Relaxed);
    *nats.found.broker.lock() = Some(first.broker());
    let connection = Connection {
        client: first.client,
        subscriptions: BTreeMap::new(),
        _relaying: relaying,
    };
    let link = OpenLink::new(arrivals.inbox.clone(), connection);
    Ok(Link {
        frames: link.clone().frames(|_, _| {}),
        transmit: Box::new(Sender {
            link,
            arrivals,
            runtime,
            relay,
            probes: 0,
            limits: nats.limits(),
            nats: nats.clone(),
            full: usize::MAX,
        }),
    })
}

/// What is open of a link.
struct Connection {
    client: Client,
    subscriptions: BTreeMap<Lane, Subscription>,
    _relaying: Relaying,
}

/// The sending half.
struct Sender {
    link: Arc<OpenLink<RawMutex, Connection>>,
    arrivals: Arc<Arrivals>,
    runtime: Handle,
    /// What brings back what has to come back, and how many probes it was given.
    relay: Relay,
    probes: u64,
    limits: Limits,
    nats: Nats,
    /// How many subscriptions are known to be too many for the server of this link.
    full: usize,
}

impl Sender {
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
    async fn prove(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        let client = self.client()?;
        self.probes += 1;
        let probe = Some(self.probes);
        let came_back = self.arrivals.expect(self.relay.token(self.probes), lanes);
        for &lane in lanes {
            let known = |open: &mut Connection| open.subscriptions.contains_key(&lane);
            if !self.link.on(known)? {
                let subject = self.nats.prefix.channel(SEPARATOR, lane);
                let subscribed = client.subscribe(subject).await;
                let subscriber = subscribed.map_err(|_| self.arrivals.failure())?;
                let arrivals = Arc::clone(&self.arrivals);
                let subscription = Subscription::start(&self.runtime, lane, subscriber, arrivals);
                self.link
                    .on(|open| drop(open.subscriptions.insert(lane, subscription)))?;
            }
            let order = Order { lane, probe };
            let probed = self.relay.send(&client, order, Bytes::new()).await;
            probed.ok_or_else(|| self.arrivals.failure())?;
        }
        // Had the link ended before the probe was expected, nobody would answer.
        self.link.check()?;
        came_back.await.map_err(|_| self.arrivals.failure())?;
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
        for Outbound { lane, frame, echo } in frames {
            let (lane, frame) = (*lane, frame.clone());
            let sent = if *echo {
                let order = Order { lane, probe: None };
                self.relay.send(&client, order, frame).await
            } else {
                let subject = self.nats.prefix.channel(SEPARATOR, lane);
                client.publish(subject, frame).await.ok()
            };
            sent.ok_or_else(|| self.arrivals.failure())?;
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
