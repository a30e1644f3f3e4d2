//! A store to test, in a schema of its own, with a proxy before its listeners.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use midplane_completions::{CompletionBackend, Groups, Ledger, Pace, Producer};
use midplane_completions_suite::load::LoadSize;
use midplane_completions_suite::{Fixture, Transaction};
use midplane_core::Backoff;
use midplane_postgres::PostgresStore;
use midplane_testkit::PATIENCE;
use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::{Lease, Server, SharedServer};

use crate::sql::{OpenTransaction, Sql, sql};

static SERVER: SharedServer<Server> = SharedServer::new(Server::postgres);

/// A server that other tests use too, or not.
pub(crate) enum TestServer {
    Shared(Lease<Server>),
    Own(Server),
}

pub(crate) struct TestStore {
    pub(crate) proxy: Proxy,
    pub(crate) host: TestServer,
    pub(crate) schema: String,
    store: PostgresStore,
}

impl TestStore {
    /// A store on a server that other tests use too.
    pub(crate) fn start() -> Self {
        Self::on(TestServer::Shared(SERVER.get()))
    }

    /// A store on a server that can be killed.
    pub(crate) fn alone() -> Self {
        Self::on(TestServer::Own(Server::postgres_with(&[])))
    }

    fn on(host: TestServer) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);

        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // A name that is only right between quotes.
        let schema = format!("Check-{}-{number}", std::process::id());
        let store = store(&host.server().url(), &schema);
        smol::block_on(store.migrate()).expect("it migrates");
        Self {
            proxy: Proxy::start(host.server().address()),
            host,
            schema,
            store,
        }
    }

    pub(crate) fn server(&self) -> &Server {
        self.host.server()
    }

    /// The store, without a proxy before it.
    pub(crate) fn store(&self) -> PostgresStore {
        self.store.clone()
    }

    /// The store behind the proxy, for connections with this application name.
    pub(crate) fn listeners(&self, name: &str) -> PostgresStore {
        let url = self.server().url_at(self.proxy.address());
        store(&format!("{url}?application_name={name}"), &self.schema)
    }

    /// Statements with the schema in place of `midplane`, on a connection of their own.
    pub(crate) async fn sql(&self, text: &str) -> Option<String> {
        sql(&self.server().url(), &self.in_schema(text)).await
    }

    pub(crate) async fn open(&self) -> Sql {
        Sql::open(&self.server().url()).await
    }

    pub(crate) fn in_schema(&self, text: &str) -> String {
        text.replace("midplane.", &format!("\"{}\".", self.schema))
    }
}

impl TestServer {
    fn server(&self) -> &Server {
        match self {
            Self::Shared(lease) => lease,
            Self::Own(server) => server,
        }
    }
}

pub(crate) fn store(url: &str, schema: &str) -> PostgresStore {
    let timer = Arc::new(midplane::threads::Timer::new());
    let store = PostgresStore::new(url, timer).expect("a url");
    // A slow machine is no unreachable server.
    let store = store.with_deadline(PATIENCE / 2);
    store.with_schema(schema).expect("a schema")
}

/// A pace that polls and tries again a few times a second.
pub(crate) fn prompt() -> Pace {
    let mut pace = Pace::default();
    pace.poll = Duration::from_millis(100);
    // A long run leaves the server no time for quick answers.
    pace.deadline = match LoadSize::asked().asked {
        true => PATIENCE / 2,
        false => Duration::from_secs(2),
    };
    pace.backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
    pace
}

#[async_trait]
impl Fixture for TestStore {
    fn backend(&self) -> Arc<dyn CompletionBackend> {
        Arc::new(self.listeners(&self.schema).backend().with_pace(prompt()))
    }

    fn producer(&self) -> Arc<dyn Producer> {
        // Connections of its own, as programs have.
        Arc::new(store(&self.server().url(), &self.schema))
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(self.store())
    }

    fn groups(&self) -> Option<Arc<dyn Groups>> {
        Some(Arc::new(self.store()))
    }

    async fn begin(&self) -> Option<Box<dyn Transaction>> {
        let sql = Sql::insist(&self.server().url()).await;
        Some(Box::new(OpenTransaction::new(sql, &self.schema).await))
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
        self.prune(Duration::ZERO).await;
    }

    async fn prune(&self, age: Duration) {
        self.store.prune(age).await.expect("it prunes");
    }

    async fn poison(&self) {
        self.sql("INSERT INTO midplane.outbox (execution) VALUES ('nobody')")
            .await;
    }

    fn intruder(&self) -> Option<(Arc<dyn CompletionBackend>, Vec<String>)> {
        let address = self.proxy.address();
        let url = format!("postgres://midplane:wr0ng%20one@{address}/postgres");
        let secrets = vec!["wr0ng one".into(), "wr0ng%20one".into()];
        Some((Arc::new(store(&url, &self.schema).backend()), secrets))
    }

    fn bare(&self) -> Option<Arc<dyn CompletionBackend>> {
        let url = self.server().url();
        Some(Arc::new(store(&url, "never-migrated").backend()))
    }
}
