//! Every store of completions, on servers that the tests start.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::executor::block_on;
use midplane::Timer as _;
use midplane::completions::MemoryStore;
use midplane::threads::Timer;
use midplane_postgres::PostgresStore;
use midplane_redis::{Redis, RedisStore};
use midplane_testkit::server::{Lease, Server, SharedServer};
use promoter::Store;

static REDIS: SharedServer<Server> = SharedServer::new(Server::redis);
static POSTGRES: SharedServer<Server> = SharedServer::new(Server::postgres);

/// Numbers the stores, so that two on one server share no data.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// One of the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Memory,
    Redis,
    Postgres,
}

impl StoreKind {
    /// An empty store, and the server it is on, which lives as long as the lease.
    pub(crate) fn start(self) -> (Store, Option<Lease<Server>>) {
        let timer = Arc::new(Timer::new());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // A server that was lent may have data of earlier runs.
        let name = format!(
            "flows_{}_{number}_{}",
            std::process::id(),
            timer.now().since_origin().as_nanos()
        );
        match self {
            Self::Memory => (MemoryStore::new(timer).into(), None),
            Self::Redis => {
                let server = REDIS.get();
                let redis = Redis::new(&server.url()).expect("a url");
                let redis = redis.with_prefix(&name).expect("a prefix");
                let store = RedisStore::new(&redis, timer);
                block_on(store.install()).expect("the functions are installed");
                (Store::new(store.backend(), store), Some(server))
            }
            Self::Postgres => {
                let server = POSTGRES.get();
                let store = PostgresStore::new(&server.url(), timer).expect("a url");
                let store = store.with_schema(&name).expect("a schema");
                block_on(store.migrate()).expect("the tables are there");
                (Store::new(store.backend(), store), Some(server))
            }
        }
    }
}
