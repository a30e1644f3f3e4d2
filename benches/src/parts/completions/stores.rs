//! The measured stores, each on a server of its own.

use std::error::Error;
use std::sync::Arc;

use midplane::completions::{CompletionBackend, Ledger, MemoryStore, Producer};
use midplane_postgres::PostgresStore;
use midplane_redis::{Redis, RedisStore};
use midplane_testkit::server::Server;

/// Why a measurement was not taken.
pub(super) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A store of completions, and its server.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) name: &'static str,
    pub(super) backend: Arc<dyn CompletionBackend>,
    pub(super) producer: Arc<dyn Producer>,
    pub(super) ledger: Arc<dyn Ledger>,
    /// The executions of a turn.
    pub(super) count: usize,
    /// Stopped with the last clone.
    _server: Option<Arc<Server>>,
}

impl Store {
    fn new<S>(
        name: &'static str,
        count: usize,
        server: Option<Arc<Server>>,
        store: S,
        backend: impl CompletionBackend + 'static,
    ) -> Self
    where
        S: Producer + Ledger + Clone + 'static,
    {
        Self {
            name,
            backend: Arc::new(backend),
            producer: Arc::new(store.clone()),
            ledger: Arc::new(store),
            count,
            _server: server,
        }
    }
}

/// What a Redis keeps every write with that it answered.
pub(super) const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// What a Postgres keeps every commit with.
pub(super) const FSYNC: [&str; 1] = ["fsync=on"];

/// Opens all stores, empty.
pub(super) async fn open() -> Result<Vec<Store>> {
    let store = MemoryStore::new(Arc::new(midplane::tokio::Timer::new()));
    let backend = store.backend();
    let mut stores = vec![Store::new("memory", 20_000, None, store, backend)];
    for (name, server, count) in [
        ("Redis, nothing on disk", Server::redis_with(&[]), 20_000),
        (
            "Redis, appendfsync always",
            Server::redis_with(&DURABLE),
            10_000,
        ),
        ("Valkey, nothing on disk", Server::valkey(), 20_000),
    ] {
        stores.push(in_redis(name, count, &Arc::new(server)).await?);
    }
    let server = Arc::new(Server::postgres_with(&FSYNC));
    stores.push(in_postgres("Postgres, fsync on", 2_000, &server).await?);
    Ok(stores)
}

/// The store in this Redis or Valkey, over connections of its own.
pub(super) async fn in_redis(
    name: &'static str,
    count: usize,
    server: &Arc<Server>,
) -> Result<Store> {
    let timer = Arc::new(midplane::tokio::Timer::new());
    let store = RedisStore::new(&Redis::new(&server.url())?, timer);
    store.install().await?;
    let backend = store.backend();
    let server = Some(Arc::clone(server));
    Ok(Store::new(name, count, server, store, backend))
}

/// The store in this Postgres, over connections of its own.
pub(super) async fn in_postgres(
    name: &'static str,
    count: usize,
    server: &Arc<Server>,
) -> Result<Store> {
    let timer = Arc::new(midplane::tokio::Timer::new());
    let store = PostgresStore::new(&server.url(), timer)?;
    store.migrate().await?;
    let backend = store.backend();
    let server = Some(Arc::clone(server));
    Ok(Store::new(name, count, server, store, backend))
}
