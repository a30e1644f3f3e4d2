//! One server: how it is reached, and the connections a link has to it.

use std::convert::Infallible;
use std::sync::Arc;

use futures::future::try_join;
use midplane_core::bus::{BusError, BusErrorKind};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, PushInfo, RedisError, Value};

use crate::error::ErrorContext;
use crate::pushes::Pushes;

/// Where a server is, and the user to log in as.
pub(crate) struct Server {
    info: ConnectionInfo,
    pub(crate) context: ErrorContext,
}

/// One connection that is subscribed and one that publishes. The driver runs a task for each, until
/// its last clone is dropped.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) subscriber: MultiplexedConnection,
    pub(crate) publisher: MultiplexedConnection,
}

impl Server {
    pub(crate) fn new(info: ConnectionInfo) -> Self {
        let context = ErrorContext {
            address: info.addr().to_string(),
            password: info.redis_settings().password().map(str::to_owned),
        };
        Self { info, context }
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Opens one connection of a link, whose pushes go to `pushes`, its loss among them, which ends the link.
    pub(crate) async fn connect(
        &self,
        pushes: &Arc<Pushes>,
    ) -> Result<MultiplexedConnection, BusError> {
        let (pushes, address) = (pushes.clone(), self.context.address.clone());
        let connection = self.dial(move |push| pushes.take(&address, push)).await;
        connection.map_err(|error| self.context.error("connect", error))
    }

    /// Opens one connection. The driver calls `take` with each push, and with one that says so when the connection is lost.
    pub(crate) async fn dial(
        &self,
        take: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, RedisError> {
        // The caller puts a deadline around this; the driver's own timeouts would come on top.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(move |push| {
                take(push);
                Ok::<_, Infallible>(())
            });
        let client = Client::open(self.info.clone())?;
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// Opens both connections.
    pub(crate) async fn open(&self, pushes: &Arc<Pushes>) -> Result<Connections, BusError> {
        let (subscriber, publisher) = try_join(self.connect(pushes), self.connect(pushes)).await?;
        Ok(Connections {
            subscriber,
            publisher,
        })
    }

    /// Opens both connections to a server, which must be a master.
    pub(crate) async fn open_master(&self, pushes: &Arc<Pushes>) -> Result<Connections, BusError> {
        let mut connections = self.open(pushes).await?;
        let answer: Value = redis::cmd("HELLO")
            .query_async(&mut connections.publisher)
            .await
            .map_err(|error| self.context.error("send HELLO", error))?;
        if is_replica(&answer) {
            return Err(self.replica_error());
        }
        Ok(connections)
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
