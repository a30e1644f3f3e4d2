//! A store on a real server, as the checks get at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use midplane::Backoff;
use midplane::completion::{
    CompletionBackend, ExecutionId, Follower, Ledger, Outcome, Pace, ProduceError, Producer,
};
use midplane_conformance::completions::{Fixture, Transaction};
use midplane_conformance::fixture::{Lease, Server, Shared};
use midplane_conformance::proxy::Proxy;
use midplane_conformance::within;
use midplane_redis::{Redis, RedisStore};
use redis::aio::MultiplexedConnection;
use redis::{Client, Value};

static REDIS: Shared = Shared::new(Server::redis);

/// What differs from one test to the next on the shared server.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A store of its own, which listeners reach through a proxy of its own.
pub(crate) struct Real {
    server: Lease,
    proxy: Proxy,
    prefix: String,
    /// What producers and the ledger use.
    store: RedisStore,
}

impl Real {
    pub(crate) fn start() -> Self {
        let server = REDIS.get();
        let proxy = Proxy::start(server.address());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("test-{}-{number}", std::process::id());
        let store = store(&server.url(), &prefix);
        // Listeners may come before producers, and are refused where nothing is installed.
        futures::executor::block_on(within("installing", store.install())).expect("a store");
        Self {
            server,
            proxy,
            prefix,
            store,
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.prefix)
    }
}

/// The store behind a URL.
pub(crate) fn store(url: &str, prefix: &str) -> RedisStore {
    let redis = Redis::new(url).expect("a url");
    let redis = redis.with_prefix(prefix).expect("a prefix");
    RedisStore::new(&redis, Arc::new(midplane::threads::Timer::new()))
}

/// What subscribes, looking for itself often.
pub(crate) fn hasty(store: &RedisStore) -> Follower {
    let mut pace = Pace::default();
    pace.poll = Duration::from_millis(100);
    pace.backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
    store.backend().with_pace(pace)
}

#[async_trait]
impl Fixture for Real {
    fn backend(&self) -> Arc<dyn CompletionBackend> {
        let url = self.server.url_at(self.proxy.address());
        Arc::new(hasty(&store(&url, &self.prefix)))
    }

    fn producer(&self) -> Arc<dyn Producer> {
        Arc::new(self.store.clone())
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(self.store.clone())
    }

    async fn begin(&self) -> Option<Box<dyn Transaction>> {
        Some(Box::new(
            Multi::begin(&self.server.url(), &self.store).await,
        ))
    }

    fn cut(&self) {
        self.proxy.refuse();
    }

    fn heal(&self) {
        self.proxy.accept();
    }

    fn connections(&self) -> usize {
        self.proxy.connections()
    }

    async fn expire_history(&self) {
        within("trimming", self.store.trim(0))
            .await
            .expect("trimmed");
    }

    async fn poison(&self) {
        // As an operator does who takes the stream for one of time.
        let answer =
            self.server
                .redis_command(&["XADD", &self.key("history"), "*", "what", "ever"]);
        assert!(answer.starts_with('$'), "{answer}");
    }

    fn intruder(&self) -> Option<(Arc<dyn CompletionBackend>, Vec<String>)> {
        let url = format!("redis://intruder:hunter2@{}", self.server.address());
        let backend = hasty(&store(&url, &self.prefix));
        Some((Arc::new(backend), vec!["hunter2".to_owned()]))
    }

    fn bare(&self) -> Option<Arc<dyn CompletionBackend>> {
        let prefix = format!("{}-bare", self.prefix);
        Some(Arc::new(hasty(&store(&self.server.url(), &prefix))))
    }
}

/// A transaction of a program that has a connection of its own.
pub(crate) struct Multi {
    connection: MultiplexedConnection,
    store: RedisStore,
}

impl Multi {
    pub(crate) async fn begin(url: &str, store: &RedisStore) -> Self {
        let client = Client::open(url).expect("a url");
        let connecting = client.get_multiplexed_async_connection();
        let connection = within("connecting", connecting).await;
        let mut multi = Self {
            connection: connection.expect("a connection"),
            store: store.clone(),
        };
        multi.ask(&["MULTI".into()]).await.expect("a transaction");
        multi
    }

    async fn ask(&mut self, words: &[Bytes]) -> Result<Value, redis::RedisError> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(&word[..]);
        }
        within("an answer", command.query_async(&mut self.connection)).await
    }
}

#[async_trait]
impl Transaction for Multi {
    async fn finish(
        &mut self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<(), ProduceError> {
        let words = self.store.finishing(execution, outcome, bytes.as_deref())?;
        self.ask(&words).await.expect("it is queued");
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), ProduceError> {
        let answers = self.ask(&["EXEC".into()]).await.expect("an answer");
        let answers: Vec<u64> = redis::from_redis_value(answers).expect("it finishes");
        assert!(answers.iter().all(|made| *made == 1), "{answers:?}");
        Ok(())
    }

    async fn rollback(mut self: Box<Self>) {
        self.ask(&["DISCARD".into()]).await.expect("an answer");
    }
}
