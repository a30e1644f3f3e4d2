//! The stores that are measured, on servers of our own.

use std::sync::Arc;

use midplane::completions::{CompletionBackend, Ledger, MemoryStore, Producer};
use midplane_postgres::PostgresStore;
use midplane_redis::{Redis, RedisStore};
use midplane_testkit::server::Server;

use super::Result;

/// One store.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) name: &'static str,
    pub(super) backend: Arc<dyn CompletionBackend>,
    pub(super) producer: Arc<dyn Producer>,
    pub(super) ledger: Arc<dyn Ledger>,
    /// How many executions a turn takes.
    pub(super) count: usize,
    /// Ends with the last clone.
    _server: Option<Arc<Server>>,
}

/// All of them, empty.
pub(super) async fn open() -> Result<Vec<Store>> {
    let memory = MemoryStore::new(Arc::new(midplane::tokio::Timer::new()));
    let mut stores = vec![Store {
        name: "memory",
        backend: Arc::new(memory.backend()),
        producer: Arc::new(memory.clone()),
        ledger: Arc::new(memory),
        count: 20_000,
        _server: None,
    }];
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
        let redis = Redis::new(&server.url())?;
        let store = RedisStore::new(&redis, Arc::new(midplane::tokio::Timer::new()));
        store.install().await?;
        stores.push(Store {
            name,
            backend: Arc::new(store.backend()),
            producer: Arc::new(store.clone()),
            ledger: Arc::new(store),
            count,
            _server: Some(Arc::new(server)),
        });
    }
    let server = Server::postgres_with(&["fsync=on"]);
    let store = PostgresStore::new(&server.url(), Arc::new(midplane::tokio::Timer::new()))?;
    store.migrate().await?;
    stores.push(Store {
        name: "Postgres, fsync on",
        backend: Arc::new(store.backend()),
        producer: Arc::new(store.clone()),
        ledger: Arc::new(store),
        count: 2_000,
        _server: Some(Arc::new(server)),
    });
    Ok(stores)
}
