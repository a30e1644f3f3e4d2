//! From `publish` on one node to a sink on another, over Redis.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use midplane::bus::Bus;
use midplane_conformance::fixture::Server;
use midplane_redis::Redis;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushKind, RedisResult, Value};

use crate::across::{
    Arrivals, Contest, Envelope, Pipe, Raw, Runtime, Way, failed, midplane, receive,
};
use crate::parts::duel;
use crate::report::Report;

/// A channel that is as long as that of a lane.
const CHANNEL: &str = "floor:0000";

/// Calls that wait for their answers at the same time, and those that go out as one.
const FLIGHT: usize = 256;
const PIPELINE: usize = 128;

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let server = Server::redis();
    duel::run(report, "Redis", |size| {
        let mut contest = Contest::new(size);
        contest.add(duel::FLOOR, Pipe::open(server.address(), raw(size))?);
        contest.add(
            duel::DRIVER,
            Driver::open(&server.url(), size, Manner::Awaited)?,
        );
        contest.add(
            "the driver, 256 calls at a time",
            Driver::open(&server.url(), size, Manner::Multiplexed)?,
        );
        contest.add(
            "the driver, pipelines of 128",
            Driver::open(&server.url(), size, Manner::Pipelined)?,
        );
        contest.add(duel::ORIGINALS, Originals::open(&server.url(), size, 1)?);
        contest.add(
            "the originals' design, 64 tasks",
            Originals::open(&server.url(), size, 64)?,
        );
        let url = server.url();
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

/// How the driver is used.
#[derive(Clone, Copy)]
enum Manner {
    Awaited,
    Multiplexed,
    Pipelined,
}

/// The driver that midplane uses, by itself.
struct Driver {
    manner: Manner,
    channel: String,
    payload: String,
    publisher: MultiplexedConnection,
    arrivals: Arc<Arrivals>,
    here: Runtime,
    _subscriber: MultiplexedConnection,
    _there: Runtime,
}

/// One connection, subscribed to a channel, that hands over what arrives on it.
fn subscribe(
    runtime: &Runtime,
    url: &str,
    channel: &str,
    take: impl Fn(&[u8]) + Send + Sync + 'static,
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

impl Driver {
    fn open(url: &str, size: usize, manner: Manner) -> io::Result<Self> {
        let (here, there) = (Runtime::start()?, Runtime::start()?);
        let channel = format!("driver:{}", manner as u8);
        let arrivals = Arc::new(Arrivals::new());
        let subscriber = subscribe(&there, url, &channel, {
            let arrivals = arrivals.clone();
            move |_| arrivals.add(1)
        })?;
        Ok(Self {
            manner,
            channel,
            payload: "x".repeat(size),
            publisher: connect(&here, url)?,
            arrivals,
            here,
            _subscriber: subscriber,
            _there: there,
        })
    }
}

async fn publish(
    mut connection: MultiplexedConnection,
    channel: Arc<str>,
    payload: Arc<str>,
) -> RedisResult<()> {
    let mut command = redis::cmd("PUBLISH");
    command.arg(&*channel).arg(&*payload);
    command.query_async(&mut connection).await
}

impl Way for Driver {
    fn send(&mut self, events: usize) -> io::Result<()> {
        let manner = self.manner;
        let mut connection = self.publisher.clone();
        let (channel, payload) = (Arc::from(&*self.channel), Arc::from(&*self.payload));
        let sent = self.here.run(async move {
            match manner {
                Manner::Awaited => {
                    for _ in 0..events {
                        publish(
                            connection.clone(),
                            Arc::clone(&channel),
                            Arc::clone(&payload),
                        )
                        .await?;
                    }
                }
                Manner::Multiplexed => {
                    let one = || {
                        publish(
                            connection.clone(),
                            Arc::clone(&channel),
                            Arc::clone(&payload),
                        )
                    };
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
            RedisResult::Ok(())
        })?;
        sent.map_err(failed)
    }

    fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }
}

/// What was done before: JSON on a channel, each PUBLISH awaited, and one lock around maps at the other end.
struct Originals {
    tasks: usize,
    channel: String,
    payload: String,
    publisher: MultiplexedConnection,
    arrivals: Arc<Arrivals>,
    here: Runtime,
    _subscriber: MultiplexedConnection,
    _there: Runtime,
}

impl Originals {
    fn open(url: &str, size: usize, tasks: usize) -> io::Result<Self> {
        let (here, there) = (Runtime::start()?, Runtime::start()?);
        let channel = format!("originals:{tasks}");
        let arrivals = Arc::new(Arrivals::new());
        let subscriber = subscribe(&there, url, &channel, receive(arrivals.clone()))?;
        Ok(Self {
            tasks,
            channel,
            payload: "x".repeat(size),
            publisher: connect(&here, url)?,
            arrivals,
            here,
            _subscriber: subscriber,
            _there: there,
        })
    }
}

impl Way for Originals {
    fn send(&mut self, events: usize) -> io::Result<()> {
        let tasks = self.tasks.min(events);
        let tasks: Vec<_> = (0..tasks)
            .map(|task| {
                let mut connection = self.publisher.clone();
                let (channel, payload) = (self.channel.clone(), self.payload.clone());
                let events = events / tasks + usize::from(task < events % tasks);
                async move {
                    for _ in 0..events {
                        let json = Envelope::json(&payload)?;
                        let mut command = redis::cmd("PUBLISH");
                        command.arg(&channel).arg(json);
                        let sent: RedisResult<()> = command.query_async(&mut connection).await;
                        sent.map_err(failed)?;
                    }
                    io::Result::Ok(())
                }
            })
            .collect();
        self.here.run(try_join_all(tasks))?.map(drop)
    }

    fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }
}
