//! From `publish` on one node to a sink on another, over Redis.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use midplane_redis::Redis;
use midplane_testkit::server::Server;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, Value};

use super::two_nodes::{self, DRIVER, ORIGINALS};
use crate::across::{AWAITED, Driver, Manner, Raw, Take, failed};
use crate::report::Report;

/// The goal for midplane at the smaller size, as a ratio to the floor.
const BATCHED: f64 = 1.5;

/// The driver with many calls that wait for their answers, and with pipelines.
const CALLS: Manner = Manner {
    calls: 256,
    ..AWAITED
};
const PIPELINES: Manner = Manner {
    batch: 128,
    ..AWAITED
};

/// The design of midplane's predecessors, by one task or several.
const ONE_TASK: Manner = Manner {
    json: true,
    ..AWAITED
};
const TASKS: Manner = Manner {
    calls: 64,
    ..ONE_TASK
};

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let server = Server::redis();
    let drivers = [
        (DRIVER, "driver:0", AWAITED),
        ("the driver, 256 calls at a time", "driver:1", CALLS),
        ("the driver, pipelines of 128", "driver:2", PIPELINES),
        (ORIGINALS, "originals:1", ONE_TASK),
        ("the originals' design, 64 tasks", "originals:64", TASKS),
    ];
    let batched = Some(BATCHED);
    two_nodes::run::<Connection>(report, "Redis", batched, &server, raw, &drivers, |url| {
        Ok(Arc::new(Redis::new(url).map_err(failed)?))
    })
}

/// RESP, prepared, on a channel whose name is as long as that of a lane.
fn raw(size: usize) -> Raw {
    let payload = "x".repeat(size);
    let of = |word: &str| {
        let length = word.len();
        format!("*3\r\n${length}\r\n{word}\r\n$10\r\nfloor:0000\r\n${size}\r\n{payload}\r\n")
    };
    Raw {
        greeting: None,
        subscribe: ("SUBSCRIBE floor:0000\r\n", ":1\r\n"),
        publish: of("PUBLISH").into_bytes(),
        message: of("message").into_bytes(),
        noise: b"",
    }
}

/// A connection of the driver that midplane uses.
#[derive(Clone)]
struct Connection(MultiplexedConnection);

impl Connection {
    async fn open(url: &str, config: AsyncConnectionConfig) -> io::Result<Self> {
        let client = Client::open(format!("{url}?protocol=resp3")).map_err(failed)?;
        let config = config.set_response_timeout(None);
        let connected = client.get_multiplexed_async_connection_with_config(&config);
        connected.await.map(Self).map_err(failed)
    }
}

impl Driver for Connection {
    async fn connect(url: &str) -> io::Result<Self> {
        Self::open(url, AsyncConnectionConfig::new()).await
    }

    async fn subscribe(url: &str, channel: &'static str, take: Take) -> io::Result<Self> {
        let receive = move |push: PushInfo| {
            if push.kind == PushKind::Message
                && let [_, Value::BulkString(bytes)] = &*push.data
            {
                take(bytes);
            }
            Ok::<_, Infallible>(())
        };
        let config = AsyncConnectionConfig::new().set_push_sender(receive);
        let mut connection = Self::open(url, config).await?;
        connection.0.subscribe(channel).await.map_err(failed)?;
        Ok(connection)
    }

    async fn publish(&self, channel: &'static str, payload: Bytes, times: usize) -> io::Result<()> {
        let mut connection = self.0.clone();
        let published = if times == 1 {
            let mut command = redis::cmd("PUBLISH");
            command.arg(channel).arg(&*payload);
            command.query_async::<()>(&mut connection).await
        } else {
            let mut pipeline = redis::pipe();
            for _ in 0..times {
                let command = pipeline.cmd("PUBLISH").arg(channel);
                command.arg(&*payload).ignore();
            }
            pipeline.query_async::<()>(&mut connection).await
        };
        published.map_err(failed)
    }
}
