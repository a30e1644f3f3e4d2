//! The kinds of server that tests run on.

use super::{Lease, Server, SharedServer};

static REDIS: SharedServer<Server> = SharedServer::new(Server::redis);
static VALKEY: SharedServer<Server> = SharedServer::new(Server::valkey);
static NATS: SharedServer<Server> = SharedServer::new(Server::nats);
static POSTGRES: SharedServer<Server> = SharedServer::new(Server::postgres);

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
    /// NATS.
    Nats,
    /// Postgres.
    Postgres,
}

impl ServerKind {
    /// Starts a server, or takes the one that the environment names.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(self) -> Server {
        match self {
            Self::Redis => Server::redis(),
            Self::Valkey => Server::valkey(),
            Self::Nats => Server::nats(),
            Self::Postgres => Server::postgres(),
        }
    }

    /// A server that other tests of this process use at the same time. See [`SharedServer`].
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn shared(self) -> Lease<Server> {
        match self {
            Self::Redis => REDIS.get(),
            Self::Valkey => VALKEY.get(),
            Self::Nats => NATS.get(),
            Self::Postgres => POSTGRES.get(),
        }
    }

    /// Whether the server speaks the protocol of Redis.
    #[must_use]
    pub fn speaks_redis(self) -> bool {
        matches!(self, Self::Redis | Self::Valkey)
    }

    /// The variable with the URL of a server to use instead of one that is started, and the port when the URL has
    /// none.
    pub(super) fn lent(self) -> (&'static str, u16) {
        match self {
            Self::Redis => ("MIDPLANE_TEST_REDIS_URL", 6379),
            Self::Valkey => ("MIDPLANE_TEST_VALKEY_URL", 6379),
            Self::Nats => ("MIDPLANE_TEST_NATS_URL", 4222),
            Self::Postgres => ("MIDPLANE_TEST_POSTGRES_URL", 5432),
        }
    }
}
