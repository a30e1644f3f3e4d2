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
        server: Option<Server>,
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
            _server: server.map(Arc::new),
        }
    }
}

/// Opens all stores, empty.
pub(super) async fn open() -> Result<Vec<Store>> {
    let timer = || Arc::new(midplane::tokio::Timer::new());
    let store = MemoryStore::new(timer());
    let backend = store.backend();
    let mut stores = vec![Store::new("memory", 20_000, None, store, backend)];
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    for (name, server, count) in [
        ("Redis, nothing on disk", Server::redis_with(&[]), 20_000),
        (
            "Redis, appendfsync always",
            Server::redis_with(&durable),
            10_000,
        ),
        ("Valkey, nothing on disk", Server::valkey(), 20_000),
    ] {
        let store = RedisStore::new(&Redis::new(&server.url())?, timer());
        store.install().await?;
        let backend = store.backend();
        stores.push(Store::new(name, count, Some(server), store, backend));
    }
    let server = Server::postgres_with(&["fsync=on"]);
    let store = PostgresStore::new(&server.url(), timer())?;
    store.migrate().await?;
    let (name, backend) = ("Postgres, fsync on", store.backend());
    stores.push(Store::new(name, 2_000, Some(server), store, backend));
    Ok(stores)
}
