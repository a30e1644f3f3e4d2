//! The second connection of a link, by which comes back what has to.
//!
//! The first connection publishes without echo, so that a node does not receive its own events. What has to come back it
//! publishes on a subject of the link's own, to which the second connection alone is subscribed, and that one publishes it
//! on its lane, from where the first receives it with everybody else. So the return of a frame proves both ways of both
//! connections, and that what the first one published before is with the server. Pings would not do: the driver sends none
//! while anything arrives, and the frames of others arrive though nothing of ours is sent.

use std::fmt;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use futures::channel::oneshot;
use midplane_core::bus::{BusError, BusErrorKind, Lane, Prefix};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::arrivals::Arrivals;
use crate::dial::{Dialed, Purpose, dial};
use crate::error::lost;
use crate::settings::{Nats, SEPARATOR};

/// How long the second connection has for the first greeting, and for the last before two servers are taken to be unjoined.
/// Each is waited for twice as long as the one before.
const SOON: Duration = Duration::from_millis(20);
const LATE: Duration = Duration::from_millis(640);

/// What the second connection is to do with a message, as the reply subject says it: `3` is a frame for lane 3, and `3.7` is
/// the seventh probe, for lane 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) lane: Lane,
    pub(crate) probe: Option<u64>,
}

impl Order {
    /// The order that a reply subject is; `None` for that of an unknown sender.
    fn parse(reply: &str) -> Option<Self> {
        let (lane, probe) = match reply.split_once('.') {
            Some((lane, probe)) => (lane, Some(probe.parse().ok()?)),
            None => (reply, None),
        };
        let lane = lane.parse().ok()?;
        Some(Self { lane, probe })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.lane)?;
        match self.probe {
            Some(probe) => write!(f, ".{probe}"),
            None => Ok(()),
        }
    }
}

/// The way of a link's first connection to its second.
pub(crate) struct Relay {
    subject: Subject,
    arrivals: Arc<Arrivals>,
}

impl Relay {
    /// Opens the second connection of the link with this first one, to the same address. The runtime is current.
    ///
    /// # Errors
    /// When it is refused, or the two reach servers that carry nothing to each other.
    pub(crate) async fn open(
        nats: &Nats,
        first: &Dialed,
        arrivals: &Arc<Arrivals>,
    ) -> Result<(Self, Relaying, usize), BusError> {
        let server = slice::from_ref(&first.address);
        let second = dial(nats, server, Purpose::Relay, arrivals).await;
        // What the server said to the first says more.
        let second = second.map_err(|error| match arrivals.inbox.ended() {
            Some(end) if end != lost() => end.error(),
            _ => error,
        })?;
        let (client, largest) = (second.client.clone(), second.largest);
        let subject = own_subject(&nats.prefix, &client);
        let subscriber = client.subscribe(subject.clone()).await;
        let subscriber = subscriber.map_err(|_| arrivals.failure())?;
        let (met, meeting) = oneshot::channel();
        let carrying = Carrying {
            client,
            prefix: nats.prefix.clone(),
            subject: subject.clone(),
            arrivals: Arc::clone(arrivals),
            met: Some(met),
        };
        let relaying = Relaying(Handle::current().spawn(carrying.run(subscriber)));
        let arrivals = Arc::clone(arrivals);
        let relay = Self { subject, arrivals };
        relay.meet(first, &second, meeting).await?;
        Ok((relay, relaying, largest))
    }

    /// Greets the second connection until a greeting comes there: the server may not have its subscription yet, or the other
    /// servers of a cluster not know of it.
    async fn meet(
        &self,
        first: &Dialed,
        second: &Dialed,
        mut meeting: oneshot::Receiver<()>,
    ) -> Result<(), BusError> {
        let apart = first.server() != second.server();
        let mut pause = SOON;
        loop {
            let greeted = first.client.publish(self.subject.clone(), Bytes::new());
            greeted.await.map_err(|_| self.arrivals.failure())?;
            match timeout(pause, &mut meeting).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) => return Err(self.arrivals.failure()),
                Err(_) if self.arrivals.inbox.is_over() => return Err(self.arrivals.failure()),
                Err(_) if apart && pause >= LATE => {
                    let (one, other) = (first.broker(), second.broker());
                    return Err(BusError::new(
                        BusErrorKind::Unreachable,
                        format!(
                            "{} leads to NATS servers that carry nothing to each other: {one} and {other}; they must be of \
                             one cluster",
                            first.address.as_url_str()
                        ),
                    ));
                }
                Err(_) => pause = LATE.min(pause * 2),
            }
        }
    }

    /// Sends a message to the second connection, once there is room; `None` when the link is over.
    pub(crate) async fn send(&self, first: &Client, order: Order, payload: Bytes) -> Option<()> {
        let room = self.arrivals.window.acquire().await.ok()?;
        room.forget();
        let order = order.to_string();
        let sent = first.publish_with_reply(self.subject.clone(), order, payload);
        sent.await.ok()
    }

    /// The token of the probe with this number, when it is back.
    pub(crate) fn token(&self, probe: u64) -> String {
        token(&self.subject, probe)
    }
}

fn token(subject: &Subject, probe: u64) -> String {
    format!("{subject}{SEPARATOR}{probe}")
}

/// A subject beside the lanes that nobody else has.
fn own_subject(prefix: &Prefix, client: &Client) -> Subject {
    let inbox = client.new_inbox();
    let unique = inbox.rsplit('.').next().unwrap_or(&inbox);
    Subject::from(format!("{}{SEPARATOR}{unique}", prefix.as_str()))
}

/// The task of a second connection, which ends with this.
pub(crate) struct Relaying(JoinHandle<()>);

impl Drop for Relaying {
    /// The task drops the driver's client and subscriber, and with them the connection.
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Carrying {
    client: Client,
    prefix: Prefix,
    subject: Subject,
    arrivals: Arc<Arrivals>,
    /// Sent to with the first greeting.
    met: Option<oneshot::Sender<()>>,
}

impl Carrying {
    async fn run(mut self, mut subscriber: Subscriber) {
        while let Some(message) = subscriber.next().await {
            let Some(reply) = message.reply else {
                if let Some(met) = self.met.take() {
                    // The call that waited may have been dropped.
                    let _ = met.send(());
                }
                continue;
            };
            if let Some(order) = Order::parse(&reply)
                && self.carry(order, message.payload).await.is_none()
            {
                break;
            }
        }
        self.arrivals.end(lost());
    }

    /// Does what is ordered; `None` when the connection is gone.
    async fn carry(&self, order: Order, payload: Bytes) -> Option<()> {
        let lane = self.prefix.channel(SEPARATOR, order.lane);
        let sent = match order.probe {
            None => self.client.publish(lane, payload).await,
            Some(probe) => {
                let token = token(&self.subject, probe);
                let probed = self.client.publish_with_reply(lane, token, Bytes::new());
                probed.await
            }
        };
        self.arrivals.make_room();
        sent.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_what_its_reply_subject_says_and_of_other_subjects_there_is_none() {
        for (lane, probe, text) in [
            (Lane(0), None, "0"),
            (Lane::JSON, Some(u64::MAX), "json.18446744073709551615"),
        ] {
            let order = Order { lane, probe };
            assert_eq!(order.to_string(), text);
            assert_eq!(Order::parse(text), Some(order));
        }
        for text in ["", ".", "1.", ".1", "1.2.3", "-1", "4294967295", "1.x"] {
            assert_eq!(Order::parse(text), None, "{text}");
        }
    }
}
