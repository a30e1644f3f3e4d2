//! From `publish` on one node to a sink on another, over NATS.

use std::io;
use std::sync::Arc;

use async_nats::{Client, ConnectOptions};
use bytes::Bytes;
use futures::stream::StreamExt;
use midplane_nats::Nats;
use midplane_testkit::server::Server;

use super::two_nodes::{self, DRIVER, ORIGINALS};
use crate::across::{AWAITED, Driver, Manner, Raw, Take, failed};
use crate::report::Report;

/// Messages that the driver holds of a subscription before it drops more: more than a race has in flight.
const MESSAGES: usize = 128 << 10;

/// The driver with a subscription of its own: the server sends all that it publishes twice.
const ECHOED: Manner = Manner {
    echo: true,
    ..AWAITED
};

/// The design of midplane's predecessors.
const PREDECESSORS: Manner = Manner {
    json: true,
    ..AWAITED
};

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let server = Server::nats();
    let echoed = "the driver, subscribed to itself too";
    let drivers = [
        (DRIVER, "driver.0000", AWAITED),
        (echoed, "driver.0002", ECHOED),
        (ORIGINALS, "originals.0000", PREDECESSORS),
    ];
    two_nodes::run::<Connection>(report, "NATS", None, &server, raw, &drivers, |url| {
        Ok(Arc::new(Nats::new(url).map_err(failed)?))
    })
}

/// The protocol of NATS, prepared, on a subject as long as that of a lane. Pings go unanswered, which the server bears for
/// longer than a race takes.
fn raw(size: usize) -> Raw {
    let payload = "x".repeat(size);
    Raw {
        greeting: Some(("CONNECT {\"verbose\":false}\r\nPING\r\n", "PONG\r\n")),
        subscribe: (
            "CONNECT {\"verbose\":false}\r\nSUB floor.0000 1\r\nPING\r\n",
            "PONG\r\n",
        ),
        publish: format!("PUB floor.0000 {size}\r\n{payload}\r\n").into_bytes(),
        message: format!("MSG floor.0000 1 {size}\r\n{payload}\r\n").into_bytes(),
        noise: b"PING\r\n",
    }
}

/// A connection of the driver that midplane uses. A publish returns once the driver has the message.
#[derive(Clone)]
struct Connection(Client);

impl Driver for Connection {
    async fn connect(url: &str) -> io::Result<Self> {
        let options = ConnectOptions::new().subscription_capacity(MESSAGES);
        options.connect(url).await.map(Self).map_err(failed)
    }

    async fn subscribe(url: &str, subject: &'static str, take: Take) -> io::Result<Self> {
        let connection = Self::connect(url).await?;
        let mut subscriber = connection.0.subscribe(subject).await.map_err(failed)?;
        // No subscriber answers. The server says so once it has what was sent before.
        let _ = connection.0.request("nobody", Bytes::new()).await;
        tokio::spawn(async move {
            while let Some(message) = subscriber.next().await {
                take(&message.payload);
            }
        });
        Ok(connection)
    }

    async fn publish(&self, subject: &'static str, payload: Bytes, times: usize) -> io::Result<()> {
        for _ in 0..times {
            let published = self.0.publish(subject, payload.clone()).await;
            published.map_err(failed)?;
        }
        Ok(())
    }
}
