//! From `publish` on one node to a sink on another, over NATS.

use std::io;
use std::sync::Arc;

use async_nats::{Client, ConnectOptions};
use bytes::Bytes;
use futures::future::FutureExt;
use futures::stream::StreamExt;
use midplane::bus::Bus;
use midplane_nats::Nats;
use midplane_testkit::server::Server;

use crate::across::{Contest, Courier, Pipe, Publish, Raw, Runtime, Take, failed, midplane};
use crate::parts::duel;
use crate::report::Report;

/// A subject that is as long as that of a lane.
const SUBJECT: &str = "floor.0000";

/// What the driver holds of a subscription before it drops messages: more than a contest has on its way.
const MESSAGES: usize = 128 << 10;

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let server = Server::nats();
    let url = server.url();
    duel::run(report, "NATS", None, |size| {
        let mut contest = Contest::new(size);
        contest.add(duel::FLOOR, Pipe::open(server.address(), raw(size))?);
        contest.add(duel::DRIVER, driver(&url, size, Manner::Queued)?);
        contest.add(
            "the driver, a flush each",
            driver(&url, size, Manner::Flushed)?,
        );
        contest.add(
            "the driver, hearing itself too",
            driver(&url, size, Manner::Echoed)?,
        );
        contest.add(duel::ORIGINALS, originals(&url, size)?);
        contest.add(
            duel::OURS,
            midplane(size, || {
                let bus: Arc<dyn Bus> = Arc::new(Nats::new(&url).map_err(failed)?);
                Ok(bus)
            })?,
        );
        Ok(contest)
    })
}

/// NATS's own protocol, prepared. Its pings go unanswered, which it bears for longer than a contest takes.
fn raw(size: usize) -> Raw {
    let payload = "x".repeat(size);
    Raw {
        greeting: Some(("CONNECT {\"verbose\":false}\r\nPING\r\n", "PONG\r\n")),
        subscribe: (
            "CONNECT {\"verbose\":false}\r\nSUB floor.0000 1\r\nPING\r\n",
            "PONG\r\n",
        ),
        publish: format!("PUB {SUBJECT} {size}\r\n{payload}\r\n").into_bytes(),
        message: format!("MSG {SUBJECT} 1 {size}\r\n{payload}\r\n").into_bytes(),
        noise: b"PING\r\n",
    }
}

fn connect(runtime: &Runtime, url: &str) -> io::Result<Client> {
    let options = ConnectOptions::new().subscription_capacity(MESSAGES);
    let url = url.to_owned();
    let connected = runtime.run(async move { options.connect(url).await })?;
    connected.map_err(failed)
}

/// A client, subscribed to a subject, that hands over what arrives on it.
fn subscribe(
    runtime: &Runtime,
    url: &str,
    subject: &'static str,
    take: Take,
) -> io::Result<Client> {
    let client = connect(runtime, url)?;
    let subscribing = client.clone();
    let subscribed = runtime.run(async move {
        let subscriber = subscribing.subscribe(subject).await.map_err(failed)?;
        // Whoever is asked is nobody, so the answer says only that all that was sent before has come.
        let _ = subscribing.request("nobody", Bytes::new()).await;
        io::Result::Ok(subscriber)
    })?;
    let mut subscriber = subscribed?;
    runtime.spawn(async move {
        while let Some(message) = subscriber.next().await {
            take(&message.payload);
        }
    });
    Ok(client)
}

/// How the driver is used.
#[derive(Clone, Copy)]
enum Manner {
    /// Publishing returns once the driver has the message.
    Queued,
    /// And then waits until it is written.
    Flushed,
    /// As the first, and whoever publishes is subscribed, too, as every node is: the server sends all of it twice.
    Echoed,
}

/// The driver that midplane uses, by itself.
fn driver(url: &str, size: usize, manner: Manner) -> io::Result<Courier> {
    let subject = match manner {
        Manner::Queued => "driver.0000",
        Manner::Flushed => "driver.0001",
        Manner::Echoed => "driver.0002",
    };
    Courier::open(
        |there, take| subscribe(there, url, subject, take),
        |here| {
            let client = match manner {
                Manner::Echoed => subscribe(here, url, subject, Box::new(|_| {}))?,
                _ => connect(here, url)?,
            };
            let payload = Bytes::from("x".repeat(size));
            let publish: Publish = Box::new(move |events| {
                let (client, payload) = (client.clone(), payload.clone());
                let all = async move {
                    for _ in 0..events {
                        let published = client.publish(subject, payload.clone()).await;
                        published.map_err(failed)?;
                        if let Manner::Flushed = manner {
                            client.flush().await.map_err(failed)?;
                        }
                    }
                    Ok(())
                };
                all.boxed()
            });
            Ok(publish)
        },
    )
}

/// What was done before.
fn originals(url: &str, size: usize) -> io::Result<Courier> {
    let subject = "originals.0000";
    Courier::originals(
        1,
        "x".repeat(size),
        |there, take| subscribe(there, url, subject, take),
        |here| {
            let client = connect(here, url)?;
            Ok(move |json| {
                let client = client.clone();
                let one = async move { client.publish(subject, Bytes::from(json)).await };
                one.map(|one| one.map_err(failed)).boxed()
            })
        },
    )
}
