//! A driver of a server, used without midplane: what one connection publishes, another receives.

use std::future::Future;
use std::io;
use std::sync::Arc;

use benches::{Locked, MeasuredPlane};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use instructions::{id, topic};
use midplane::{Audience, Event, Target, Verdict};
use serde::{Deserialize, Serialize};

use super::arrivals::Arrivals;
use super::failed;
use super::node::NodeRuntime;
use super::route::Route;

/// Receives the bytes that arrive.
pub(crate) type Take = Box<dyn Fn(&[u8]) + Send + Sync>;

/// A connection of a driver.
pub(crate) trait Driver: Clone + Send + Sync + 'static {
    fn connect(url: &str) -> impl Future<Output = io::Result<Self>> + Send;

    /// A connection that is subscribed to a channel and hands over what arrives there.
    fn subscribe(
        url: &str,
        channel: &'static str,
        take: Take,
    ) -> impl Future<Output = io::Result<Self>> + Send;

    /// Publishes the payload this many times, in one request if the server has such, and waits as the driver does.
    fn publish(
        &self,
        channel: &'static str,
        payload: Bytes,
        times: usize,
    ) -> impl Future<Output = io::Result<()>> + Send;
}

/// How a driver is used.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// Calls that wait at the same time.
    pub(crate) calls: usize,
    /// Events of a call.
    pub(crate) batch: usize,
    /// Whether the publisher is subscribed, too, as every node is.
    pub(crate) echo: bool,
    /// Whether this is the design of midplane's predecessors: JSON for each event, one lock around maps at the receiver.
    pub(crate) json: bool,
}

/// One event per call, and one call at a time.
pub(crate) const AWAITED: Manner = Manner {
    calls: 1,
    batch: 1,
    echo: false,
    json: false,
};

/// A publisher and a subscriber, each a connection on a runtime of its own.
pub(crate) struct DriverClient<D> {
    publisher: D,
    channel: &'static str,
    payload: String,
    manner: Manner,
    arrivals: Arc<Arrivals>,
    here: NodeRuntime,
    _subscriber: D,
    _there: NodeRuntime,
}

impl<D: Driver> DriverClient<D> {
    /// Connects, for events of this size in bytes.
    pub(crate) fn open(
        url: &str,
        channel: &'static str,
        size: usize,
        manner: Manner,
    ) -> io::Result<Self> {
        let (here, there) = (NodeRuntime::start()?, NodeRuntime::start()?);
        let arrivals = Arc::new(Arrivals::new());
        let take = if manner.json {
            through_locked_maps(arrivals.clone())
        } else {
            let arrivals = arrivals.clone();
            Box::new(move |_: &[u8]| arrivals.add(1))
        };
        let address = url.to_owned();
        let subscribed = there.run(async move { D::subscribe(&address, channel, take).await })?;
        let address = url.to_owned();
        let connected = here.run(async move {
            if manner.echo {
                D::subscribe(&address, channel, Box::new(|_| {})).await
            } else {
                D::connect(&address).await
            }
        })?;
        Ok(Self {
            publisher: connected?,
            channel,
            payload: "x".repeat(size),
            manner,
            arrivals,
            here,
            _subscriber: subscribed?,
            _there: there,
        })
    }
}

impl<D: Driver> Route for DriverClient<D> {
    fn send(&mut self, events: usize) -> io::Result<()> {
        let (publisher, channel) = (self.publisher.clone(), self.channel);
        let (text, manner) = (self.payload.clone(), self.manner);
        let plain = Bytes::from(text.clone());
        let payload = move || match manner.json {
            true => Envelope::json(&text),
            false => Ok(plain.clone()),
        };
        let times = move |first| manner.batch.min(events - first);
        let firsts = (0..events).step_by(manner.batch);
        self.here.run(async move {
            if manner.calls == 1 {
                for first in firsts {
                    let publish = publisher.publish(channel, payload()?, times(first));
                    publish.await?;
                }
                return Ok(());
            }
            let calls = stream::iter(firsts).map(move |first| {
                let (publisher, payload) = (publisher.clone(), payload());
                Ok(async move { publisher.publish(channel, payload?, times(first)).await })
            });
            calls.try_buffer_unordered(manner.calls).try_collect().await
        })?
    }

    fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }
}

/// An event as JSON.
#[derive(Serialize, Deserialize)]
struct Envelope {
    topic: String,
    event: String,
}

impl Envelope {
    fn json(payload: &str) -> io::Result<Bytes> {
        let envelope = Self {
            topic: String::from("topic-0000"),
            event: payload.to_owned(),
        };
        let json = serde_json::to_vec(&envelope).map_err(failed)?;
        Ok(json.into())
    }
}

/// Takes what arrives to a sink behind one lock around maps.
fn through_locked_maps(arrivals: Arc<Arrivals>) -> Take {
    let mut locked = Locked::empty();
    locked.attach(&id(0), move |_| {
        arrivals.add(1);
        Verdict::Accepted
    });
    locked.join_last(&topic(0));
    Box::new(move |bytes| {
        let envelope: Result<Envelope, _> = serde_json::from_slice(bytes);
        if let Ok(envelope) = envelope
            && let Ok(target) = Target::topic(envelope.topic)
        {
            locked.publish(&Audience::from(target), &Event::text(envelope.event));
        }
    })
}
