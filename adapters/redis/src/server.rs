//! One server: how it is reached, and the connections a link has to it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::try_join;
use midplane_core::bus::{BusError, BusErrorKind, Secrets};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, PushInfo, PushKind, RedisError, Value};

use crate::error::ErrorContext;
use crate::pushes::Pushes;

/// Where a server is, and the user to log in as.
pub(crate) struct Server {
    info: ConnectionInfo,
    pub(crate) context: ErrorContext,
}

/// One connection of a link. The driver runs a task for it, until its last clone is dropped.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) connection: MultiplexedConnection,
    state: Arc<WireState>,
}

struct WireState {
    /// The link ends with the connection.
    needed: AtomicBool,
    lost: AtomicBool,
}

impl Wire {
    /// Whether the connection is known to be lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// A call found that the connection is lost.
    pub(crate) fn lose(&self) {
        self.state.lost.store(true, Ordering::Relaxed);
    }

    /// The link goes on without the connection.
    pub(crate) fn dismiss(&self) {
        self.state.needed.store(false, Ordering::Relaxed);
    }
}

/// One connection that is subscribed and one that publishes, each as far as it is open. A server ends connections that
/// carry nothing for long (`timeout`), but for those that are subscribed: a link goes on without one that publishes, and opens
/// another when it next publishes there.
#[derive(Clone, Default)]
pub(crate) struct Connections {
    pub(crate) subscriber: Option<Wire>,
    pub(crate) publisher: Option<Wire>,
}

impl Server {
    pub(crate) fn new(info: ConnectionInfo) -> Self {
        let password = info.redis_settings().password();
        let context = ErrorContext {
            address: info.addr().to_string(),
            secrets: Secrets::default().with(password.unwrap_or_default()),
        };
        Self { info, context }
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Opens one connection of a link, whose pushes go to `pushes`; its loss too, which ends the link, if it is `needed`.
    pub(crate) async fn connect(
        &self,
        pushes: &Arc<Pushes>,
        needed: bool,
    ) -> Result<Wire, BusError> {
        let (pushes, address) = (pushes.clone(), self.context.address.clone());
        let state = Arc::new(WireState {
            needed: AtomicBool::new(needed),
            lost: AtomicBool::new(false),
        });
        let kept = state.clone();
        let take = move |push: PushInfo| {
            let lost = push.kind == PushKind::Disconnection;
            if lost {
                state.lost.store(true, Ordering::Relaxed);
            }
            if !lost || state.needed.load(Ordering::Relaxed) {
                pushes.take(&address, push);
            }
        };
        match self.dial(take).await {
            Ok(connection) => Ok(Wire {
                connection,
                state: kept,
            }),
            Err(error) => Err(self.context.error("connect", error)),
        }
    }

    /// Opens one connection. The driver calls `take` with each push, and with one that says so when the connection is lost.
    pub(crate) async fn dial(
        &self,
        take: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, RedisError> {
        // The caller puts a deadline around this; the driver's own timeouts would come on top.
        self.dial_within(None, take).await
    }

    /// Opens one connection, within this time, and bounds each of its answers by the same.
    pub(crate) async fn dial_within(
        &self,
        deadline: Option<Duration>,
        take: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(deadline)
            .set_response_timeout(deadline)
            .set_push_sender(move |push| {
                take(push);
                Ok::<_, Infallible>(())
            });
        let client = Client::open(self.info.clone())?;
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// Opens both connections to a server, which must be a master, and says which it is, where the user may know.
    pub(crate) async fn open_master(
        &self,
        pushes: &Arc<Pushes>,
    ) -> Result<(Connections, Option<String>), BusError> {
        let (subscriber, mut publisher) =
            try_join(self.connect(pushes, true), self.connect(pushes, false)).await?;
        let answer: Value = redis::cmd("HELLO")
            .query_async(&mut publisher.connection)
            .await
            .map_err(|error| self.context.error("send HELLO", error))?;
        if is_replica(&answer) {
            return Err(self.replica_error());
        }
        let info = redis::cmd("INFO").arg("server").clone();
        let info: Option<String> = info.query_async(&mut publisher.connection).await.ok();
        let connections = Connections {
            subscriber: Some(subscriber),
            publisher: Some(publisher),
        };
        Ok((connections, info.as_deref().and_then(identity)))
    }

    /// The error of a link with a server that is a replica.
    pub(crate) fn replica_error(&self) -> BusError {
        BusError::new(
            BusErrorKind::Unreachable,
            format!(
                "redis at {} is a replica, and what is published there does not reach the subscribers of its master: \
                 name the master in the url",
                self.context.address
            ),
        )
    }
}

/// Which server it is that answers this to `INFO server`: its run id, another one at each start.
fn identity(info: &str) -> Option<String> {
    let mut lines = info.lines();
    let id = lines.find_map(|line| line.strip_prefix("run_id:"))?;
    Some(format!("redis {}", id.trim()))
}

/// Whether a server that answers this to `HELLO` is a replica.
pub(crate) fn is_replica(answer: &Value) -> bool {
    let is = |value: &Value, text: &str| match value {
        Value::BulkString(bytes) => bytes == text.as_bytes(),
        Value::SimpleString(string) => string == text,
        _ => false,
    };
    answer.as_map_iter().is_some_and(|mut entries| {
        entries.any(|(key, value)| is(key, "role") && !is(value, "master"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_read_from_the_answer_to_hello() {
        for (answer, expected) in [
            ("%1 $4 role $6 master", false),
            ("%2 $5 proto :3 $4 role $7 replica", true),
            ("%1 +role +slave", true),
            ("%1 $5 proto :3", false),
            ("+OK", false),
        ] {
            let answer = answer.replace(' ', "\r\n") + "\r\n";
            let value = redis::parse_redis_value(answer.as_bytes()).expect("resp");
            assert_eq!(is_replica(&value), expected, "{answer}");
        }
    }
}
