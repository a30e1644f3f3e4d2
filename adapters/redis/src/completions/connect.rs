//! How a store gets its connections.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use midplane_completions::BackendError;
use midplane_core::bus::Secrets;
use redis::PushInfo;
use redis::aio::{AsyncPushSender, MultiplexedConnection, SendError};

use super::error::{failure, kind};
use crate::Redis;
use crate::error::ErrorContext;

/// Opens the connections of a [`RedisStore`](crate::RedisStore), where a program does that itself: with its own TLS, its own
/// tunnel or proxy, or passwords that it gets in its own way.
///
/// A subscription gets what the server pushes, so a connection that others use cannot be handed in, nor one of a pool: each
/// call opens one, for a subscription or for what producers and the ledger share.
///
/// ```
/// use async_trait::async_trait;
/// use midplane_completions::{BackendError, BackendErrorKind};
/// use midplane_redis::{RedisConnect, RedisConnection, RedisPushes};
/// use redis::{AsyncConnectionConfig, Client};
///
/// /// The client of a URL that ends with `?protocol=resp3`.
/// #[derive(Debug)]
/// struct OwnConnections(Client);
///
/// #[async_trait]
/// impl RedisConnect for OwnConnections {
///     async fn connect(&self, _: &str, pushes: RedisPushes) -> Result<RedisConnection, BackendError> {
///         // The store has deadlines of its own.
///         let config = AsyncConnectionConfig::new().set_response_timeout(None).set_push_sender(pushes);
///         let connected = self.0.get_multiplexed_async_connection_with_config(&config).await;
///         let connection = connected.map_err(|error| {
///             BackendError::new(BackendErrorKind::Unreachable, "there is no connection").caused_by(error)
///         })?;
///         let address = self.0.get_connection_info().addr().to_string();
///         Ok(RedisConnection::new(connection, address))
///     }
/// }
/// ```
#[async_trait]
pub trait RedisConnect: Send + Sync + fmt::Debug + 'static {
    /// Opens a connection that speaks RESP3 and gives its pushes to these, in one attempt, each time it is called: the store
    /// tries again, and drops the future at its deadline. It leads to the master that this key is on, where there are several:
    /// all keys of a store are in its slot.
    ///
    /// # Errors
    /// When there is no connection. Nothing is left open, and no secret is in the text.
    async fn connect(
        &self,
        key: &str,
        pushes: RedisPushes,
    ) -> Result<RedisConnection, BackendError>;
}

/// Where the pushes of a connection go: what its driver calls with each, and with one that says that the connection is lost.
#[derive(Clone)]
pub struct RedisPushes(Arc<dyn Fn(PushInfo) + Send + Sync>);

impl RedisPushes {
    pub(super) fn new(take: impl Fn(PushInfo) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Takes a push. The call does not block.
    pub fn take(&self, push: PushInfo) {
        (self.0)(push);
    }
}

impl AsyncPushSender for RedisPushes {
    fn send(&self, push: PushInfo) -> Result<(), SendError> {
        self.take(push);
        Ok(())
    }
}

impl fmt::Debug for RedisPushes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPushes").finish_non_exhaustive()
    }
}

/// An open connection to the server of a store, which nothing else uses.
pub struct RedisConnection {
    pub(super) connection: MultiplexedConnection,
    pub(super) context: ErrorContext,
}

impl RedisConnection {
    /// An open connection to the server at this address, as errors name it.
    #[must_use]
    pub fn new(connection: MultiplexedConnection, address: impl Into<String>) -> Self {
        let context = ErrorContext {
            address: address.into(),
            secrets: Secrets::default(),
        };
        Self {
            connection,
            context,
        }
    }

    /// Hides this text in whatever the server says, such as the password of the connection.
    #[must_use]
    pub fn with_secret(mut self, secret: &str) -> Self {
        self.context.secrets = self.context.secrets.with(secret);
        self
    }
}

impl fmt::Debug for RedisConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnection")
            .field("address", &self.context.address)
            .finish_non_exhaustive()
    }
}

/// What a store does by itself: connections to the server that a URL, a cluster or Sentinels name.
#[async_trait]
impl RedisConnect for Redis {
    async fn connect(
        &self,
        key: &str,
        pushes: RedisPushes,
    ) -> Result<RedisConnection, BackendError> {
        let server = self.owner(key).await.map_err(|error| {
            let message = "the redis that the completions are on was not found";
            BackendError::new(kind(error.kind()), message).caused_by(error)
        })?;
        let connection = server.dial(move |push| pushes.take(push)).await;
        let connection = connection.map_err(|error| failure(&server.context, "connect", error))?;
        Ok(RedisConnection {
            connection,
            context: server.context,
        })
    }
}
