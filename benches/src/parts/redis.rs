//! From `publish` on one node to a sink on another, over Redis.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use futures::future::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use midplane::bus::Bus;
use midplane_redis::Redis;
use midplane_testkit::server::Server;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushKind, RedisResult, Value};

use crate::across::{Contest, Courier, Pipe, Publish, Raw, Runtime, Take, failed, midplane};
use crate::parts::duel;
use crate::report::Report;

/// A channel that is as long as that of a lane.
const CHANNEL: &str = "floor:0000";

/// Calls that wait for their answers at the same time, and those that go out as one.
const FLIGHT: usize = 256;
const PIPELINE: usize = 128;

/// What midplane is to reach of the floor at the smaller size.
const BATCHED: f64 = 1.5;

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let server = Server::redis();
    let url = server.url();
    duel::run(report, "Redis", Some(BATCHED), |size| {
        let mut contest = Contest::new(size);
        contest.add(duel::FLOOR, Pipe::open(server.address(), raw(size))?);
        contest.add(duel::DRIVER, driver(&url, size, Manner::Awaited)?);
        contest.add(
            "the driver, 256 calls at a time",
            driver(&url, size, Manner::Multiplexed)?,
        );
        contest.add(
            "the driver, pipelines of 128",
            driver(&url, size, Manner::Pipelined)?,
        );
        contest.add(duel::ORIGINALS, originals(&url, size, 1)?);
        contest.add(
            "the originals' design, 64 tasks",
            originals(&url, size, 64)?,
        );
        contest.add(
            duel::OURS,
            midplane(size, || {
                let bus: Arc<dyn Bus> = Arc::new(Redis::new(&url).map_err(failed)?);
                Ok(bus)
            })?,
        );
        Ok(contest)
    })
}

/// RESP, prepared.
fn raw(size: usize) -> Raw {
    let payload = "x".repeat(size);
    let of = |word: &str| {
        let (length, channel) = (word.len(), CHANNEL.len());
        format!("*3\r\n${length}\r\n{word}\r\n${channel}\r\n{CHANNEL}\r\n${size}\r\n{payload}\r\n")
    };
    Raw {
        greeting: None,
        subscribe: ("SUBSCRIBE floor:0000\r\n", ":1\r\n"),
        publish: of("PUBLISH").into_bytes(),
        message: of("message").into_bytes(),
        noise: b"",
    }
}

/// One connection, subscribed to a channel, that hands over what arrives on it.
fn subscribe(
    runtime: &Runtime,
    url: &str,
    channel: &str,
    take: Take,
) -> io::Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_push_sender(move |push: redis::PushInfo| {
            if push.kind == PushKind::Message
                && let [_, Value::BulkString(bytes)] = &*push.data
            {
                take(bytes);
            }
            Ok::<_, Infallible>(())
        });
    let (client, channel) = (client(url)?, channel.to_owned());
    let connected = runtime.run(async move {
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        connection.subscribe(channel).await?;
        RedisResult::Ok(connection)
    })?;
    connected.map_err(failed)
}

fn connect(runtime: &Runtime, url: &str) -> io::Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let client = client(url)?;
    let connected = runtime.run(async move {
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    })?;
    connected.map_err(failed)
}

fn client(url: &str) -> io::Result<Client> {
    Client::open(format!("{url}?protocol=resp3")).map_err(failed)
}

/// How the driver is used.
#[derive(Clone, Copy)]
enum Manner {
    Awaited,
    Multiplexed,
    Pipelined,
}

/// The driver that midplane uses, by itself.
fn driver(url: &str, size: usize, manner: Manner) -> io::Result<Courier> {
    let channel = format!("driver:{}", manner as u8);
    Courier::open(
        |there, take| subscribe(there, url, &channel, take),
        |here| {
            let channel: Arc<str> = Arc::from(&*channel);
            let payload: Arc<[u8]> = Arc::from(vec![b'x'; size]);
            let connection = connect(here, url)?;
            let publish: Publish = Box::new(move |events| {
                let all = publish(
                    connection.clone(),
                    manner,
                    Arc::clone(&channel),
                    Arc::clone(&payload),
                    events,
                );
                all.map(|all| all.map_err(failed)).boxed()
            });
            Ok(publish)
        },
    )
}

/// Publishes so many events in this manner.
async fn publish(
    mut connection: MultiplexedConnection,
    manner: Manner,
    channel: Arc<str>,
    payload: Arc<[u8]>,
    events: usize,
) -> RedisResult<()> {
    let one = || {
        one(
            connection.clone(),
            Arc::clone(&channel),
            Arc::clone(&payload),
        )
    };
    match manner {
        Manner::Awaited => {
            for _ in 0..events {
                one().await?;
            }
        }
        Manner::Multiplexed => {
            let all = stream::iter(0..events).map(|_| Ok(one()));
            all.try_buffer_unordered(FLIGHT).try_collect::<()>().await?;
        }
        Manner::Pipelined => {
            let mut left = events;
            while left > 0 {
                let now = left.min(PIPELINE);
                let mut pipeline = redis::pipe();
                for _ in 0..now {
                    pipeline
                        .cmd("PUBLISH")
                        .arg(&*channel)
                        .arg(&*payload)
                        .ignore();
                }
                pipeline.query_async::<()>(&mut connection).await?;
                left -= now;
            }
        }
    }
    Ok(())
}

/// Publishes one, and waits for the answer.
async fn one(
    mut connection: MultiplexedConnection,
    channel: Arc<str>,
    payload: impl AsRef<[u8]>,
) -> RedisResult<()> {
    let mut command = redis::cmd("PUBLISH");
    command.arg(&*channel).arg(payload.as_ref());
    command.query_async(&mut connection).await
}

/// What was done before, so many tasks at a time.
fn originals(url: &str, size: usize, tasks: usize) -> io::Result<Courier> {
    let channel = format!("originals:{tasks}");
    Courier::originals(
        tasks,
        "x".repeat(size),
        |there, take| subscribe(there, url, &channel, take),
        |here| {
            let (connection, channel): (_, Arc<str>) = (connect(here, url)?, Arc::from(&*channel));
            Ok(move |json| {
                let one = one(connection.clone(), Arc::clone(&channel), json);
                one.map(|one| one.map_err(failed)).boxed()
            })
        },
    )
}
