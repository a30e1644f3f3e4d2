//! A store on a test server, as the checks get at it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_timer::Delay;
use midplane::Backoff;
use midplane::completions::{
    BackendError, BackendErrorKind, CompletionBackend, ExecutionId, Follower, Groups, Ledger,
    Outcome, Pace, ProduceError, Producer,
};
use midplane_completions_suite::{Fixture, Transaction};
use midplane_redis::{Redis, RedisStore};
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::{Server, SharedServer};
use midplane_testkit::{succeeds, within};
use redis::aio::MultiplexedConnection;
use redis::{Client, Value};

static REDIS: SharedServer<Server> = SharedServer::new(Server::redis);
static VALKEY: SharedServer<Server> = SharedServer::new(Server::valkey);

/// What a completion that was answered survives a crash with.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// What differs from one test to the next on the shared server.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A server that others use too, or not.
type AnyServer = Box<dyn Deref<Target = Server> + Send + Sync>;

/// A store of its own, which listeners reach through a proxy of its own.
pub(crate) struct TestStore {
    pub(crate) server: AnyServer,
    pub(crate) proxy: Proxy,
    pub(crate) prefix: String,
    /// What producers and the ledger use.
    pub(crate) store: RedisStore,
}

impl TestStore {
    pub(crate) fn start() -> Self {
        Self::on(Box::new(REDIS.get()))
    }

    pub(crate) fn valkey() -> Self {
        Self::on(Box::new(VALKEY.get()))
    }

    /// On a server that nobody else uses, and that may be killed.
    pub(crate) fn alone() -> Self {
        Self::on(Box::new(Box::new(Server::redis_with(&DURABLE))))
    }

    fn on(server: AnyServer) -> Self {
        let proxy = Proxy::start(server.address());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("test-{}-{number}", std::process::id());
        let store = store(&server.url(), &prefix);
        // Listeners may come before producers, and are refused where nothing is installed. We may be called
        // on an executor: another one does it.
        let installing = self::store(&server.url(), &prefix);
        let thread = std::thread::spawn(move || {
            Executor::TokioCurrent.run(async move {
                succeeds("installing", installing.install()).await;
            });
        });
        thread.join().expect("it is installed");
        Self {
            server,
            proxy,
            prefix,
            store,
        }
    }

    pub(crate) fn key(&self, name: &str) -> String {
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
pub(crate) fn prompt_backend(store: &RedisStore) -> Follower {
    let mut pace = Pace::default();
    pace.poll = Duration::from_millis(100);
    pace.deadline = Duration::from_secs(2);
    pace.backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
    store.backend().with_pace(pace)
}

#[async_trait]
impl Fixture for TestStore {
    fn backend(&self) -> Arc<dyn CompletionBackend> {
        let url = self.server.url_at(self.proxy.address());
        Arc::new(prompt_backend(&store(&url, &self.prefix)))
    }

    fn producer(&self) -> Arc<dyn Producer> {
        // A connection of its own, as programs have.
        Arc::new(store(&self.server.url(), &self.prefix))
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(self.store.clone())
    }

    fn groups(&self) -> Option<Arc<dyn Groups>> {
        Some(Arc::new(self.store.clone()))
    }

    async fn begin(&self) -> Option<Box<dyn Transaction>> {
        Some(Box::new(
            MultiExec::begin(&self.server.url(), &self.store).await,
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
        succeeds("trimming", self.store.trim(0)).await;
    }

    async fn prune(&self, age: Duration) {
        succeeds("pruning", self.store.prune(age)).await;
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
        let backend = prompt_backend(&store(&url, &self.prefix));
        Some((Arc::new(backend), vec!["hunter2".to_owned()]))
    }

    fn bare(&self) -> Option<Arc<dyn CompletionBackend>> {
        let prefix = format!("{}-bare", self.prefix);
        Some(Arc::new(prompt_backend(&store(
            &self.server.url(),
            &prefix,
        ))))
    }
}

/// A transaction of a program that has a connection of its own.
pub(crate) struct MultiExec {
    connection: MultiplexedConnection,
    store: RedisStore,
}

impl MultiExec {
    /// Begins as soon as the server answers.
    pub(crate) async fn begin(url: &str, store: &RedisStore) -> Self {
        let client = Client::open(url).expect("a url");
        within("beginning", async {
            loop {
                if let Ok(connection) = client.get_multiplexed_async_connection().await {
                    let store = store.clone();
                    let mut multi = Self { connection, store };
                    if multi.ask(&["MULTI".into()]).await.is_ok() {
                        return multi;
                    }
                }
                Delay::new(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// Commits, and shows what the server says to that.
    pub(crate) async fn said(mut self) -> String {
        let mut exec = redis::Pipeline::new();
        exec.cmd("EXEC").ignore_errors();
        format!(
            "{:?}",
            exec.query_async::<Value>(&mut self.connection).await
        )
    }

    async fn ask(&mut self, words: &[Bytes]) -> Result<Value, ProduceError> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(&word[..]);
        }
        let answer = command.query_async(&mut self.connection).await;
        answer.map_err(|error| {
            let why = "the program's own connection failed";
            BackendError::new(BackendErrorKind::Unreachable, why)
                .caused_by(error)
                .into()
        })
    }
}

#[async_trait]
impl Transaction for MultiExec {
    async fn finish(
        &mut self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<(), ProduceError> {
        let words = self.store.finishing(execution, outcome, bytes.as_deref())?;
        self.ask(&words).await?;
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), ProduceError> {
        let answers = self.ask(&["EXEC".into()]).await?;
        let answers: Vec<u64> = redis::from_redis_value(answers).expect("numbers");
        assert!(answers.iter().all(|made| *made == 1), "{answers:?}");
        Ok(())
    }

    async fn rollback(mut self: Box<Self>) {
        // Where the connection is gone, the server has discarded it.
        let _ = self.ask(&["DISCARD".into()]).await;
    }
}
