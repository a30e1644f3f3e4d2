//! Connections that the program opens itself, and a pool of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use midplane_completions::{
    BackendError, BackendErrorKind, Change, CompletionBackend, ErrorText, Execution, Ledger,
    Outcome, ProduceError, Producer, Scan, Settled, StreamItem, SubscribeError, Take, Verdict,
};
use midplane_completions_suite::script::{
    begin, execution, expect, finish, handle, next_item, run, subscribe,
};
use midplane_postgres::{
    PostgresConnect, PostgresConnection, PostgresStatements, PostgresStore, StatementError,
    StatementParameter, StatementRow,
};
use midplane_testkit::error::shown;
use midplane_testkit::{succeeds, within};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{NoTls, Row};

use crate::sql::{DRIVER, Sql};
use crate::test_store::{TestStore, prompt, store};

/// Connections of tokio's, on a runtime of the program.
#[derive(Debug)]
struct OwnConnections {
    url: String,
    opened: AtomicUsize,
}

#[async_trait]
impl PostgresConnect for OwnConnections {
    async fn connect(&self) -> Result<PostgresConnection, BackendError> {
        let url = self.url.clone();
        let connecting = DRIVER.spawn(async move { tokio_postgres::connect(&url, NoTls).await });
        let connected = connecting.await.expect("no panic");
        let (client, connection) = connected.map_err(|error| {
            BackendError::new(BackendErrorKind::Unreachable, "there is no connection")
                .caused_by(error)
        })?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(PostgresConnection::new(client, connection).with_secret("hunter2"))
    }
}

fn over(connections: &Arc<OwnConnections>, schema: &str) -> PostgresStore {
    let timer = Arc::new(midplane::threads::Timer::new());
    let store = PostgresStore::over(connections.clone(), timer);
    store.with_schema(schema).expect("a schema")
}

#[test]
fn a_store_works_over_connections_that_the_program_opens() {
    smol::block_on(async {
        let test = TestStore::start();
        let connections = Arc::new(OwnConnections {
            url: test.server().url(),
            opened: AtomicUsize::new(0),
        });
        let opened = || connections.opened.load(Ordering::Relaxed);
        let store = over(&connections, &format!("{}-over", test.schema));
        succeeds("migrating", store.migrate()).await;
        assert_eq!(opened(), 1, "one that migrates");
        let mut stream = subscribe(&store.backend().with_pace(prompt())).await;
        assert_eq!(opened(), 2, "one that listens");
        run(&store, "before").await;
        expect(&mut stream, "before").await;
        assert_eq!(opened(), 3, "one that is shared");
        // Those of the store end; others of the server go on.
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE query LIKE '%-over%' AND pid <> pg_backend_pid()";
        test.sql(end).await;
        assert_eq!(next_item(&mut stream).await, StreamItem::Resync);
        within("the shared one is opened again", async {
            while store.scan(&Scan::new(1)).await.is_err() {}
        })
        .await;
        run(&store, "after").await;
        expect(&mut stream, "after").await;
        assert_eq!(opened(), 5, "each was opened again");
        handle(&store, &["before", "after"]).await;

        let hidden = "CREATE FUNCTION midplane.say() RETURNS trigger LANGUAGE plpgsql \
                      AS $$BEGIN RAISE EXCEPTION 'said hunter2'; END$$; \
                      CREATE TRIGGER say BEFORE INSERT ON midplane.executions \
                      FOR EACH ROW EXECUTE FUNCTION midplane.say()";
        let hidden = hidden.replace("midplane.", &format!("\"{}-over\".", test.schema));
        test.sql(&hidden).await;
        let started = Execution::new(execution("said"));
        let error = store.start(&started).await.expect_err("it is refused");
        let shown = shown(&error);
        assert!(shown.contains("said ***"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    });
}

/// Clients that tasks of the program drive, as those of a pool are.
#[derive(Debug)]
struct OwnPool {
    clients: Vec<Sql>,
    asked: AtomicUsize,
}

impl OwnPool {
    async fn new(url: &str) -> Self {
        Self {
            clients: vec![Sql::open(url).await, Sql::open(url).await],
            asked: AtomicUsize::new(0),
        }
    }

    fn client(&self) -> &Sql {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        &self.clients[asked % self.clients.len()]
    }
}

#[async_trait]
impl PostgresStatements for OwnPool {
    async fn query(
        &self,
        statement: &str,
        parameters: &[StatementParameter<'_>],
    ) -> Result<Vec<Box<dyn StatementRow>>, StatementError> {
        PostgresStatements::query(&self.client().0, statement, parameters).await
    }
}

/// A pool of another driver: one that knows nothing of the store, prepares statements, and has rows of its own.
#[derive(Debug)]
struct OtherDriver(OwnPool);

/// A row that is read by the names of its columns, and errs where the type is another.
struct OtherRow(Row);

impl StatementRow for OtherRow {
    fn text(&self, column: &str) -> Option<&str> {
        self.0.try_get(column).expect("a text")
    }

    fn bytes(&self, column: &str) -> Option<&[u8]> {
        self.0.try_get(column).expect("bytes")
    }

    fn number(&self, column: &str) -> Option<i64> {
        self.0.try_get(column).expect("a number")
    }

    fn truth(&self, column: &str) -> Option<bool> {
        self.0.try_get(column).expect("true or false")
    }
}

#[async_trait]
impl PostgresStatements for OtherDriver {
    async fn query(
        &self,
        statement: &str,
        parameters: &[StatementParameter<'_>],
    ) -> Result<Vec<Box<dyn StatementRow>>, StatementError> {
        let bound = parameters.iter().map(|parameter| match parameter {
            StatementParameter::Text(text) => text as &(dyn ToSql + Sync),
            StatementParameter::Bytes(bytes) => bytes,
            StatementParameter::Number(number) => number,
            StatementParameter::Truth(truth) => truth,
            StatementParameter::Texts(texts) => texts,
            StatementParameter::Numbers(numbers) => numbers,
        });
        let bound: Vec<_> = bound.collect();
        let client = &self.0.client().0;
        let types: Vec<_> = parameters.iter().map(kind).collect();
        let prepared = client.prepare_typed(statement, &types).await?;
        let rows = client.query(&prepared, &bound).await?;
        Ok(rows
            .into_iter()
            .map(|row| Box::new(OtherRow(row)) as Box<dyn StatementRow>)
            .collect())
    }
}

fn kind(parameter: &StatementParameter<'_>) -> Type {
    match parameter {
        StatementParameter::Text(_) => Type::TEXT,
        StatementParameter::Bytes(_) => Type::BYTEA,
        StatementParameter::Number(_) => Type::INT8,
        StatementParameter::Truth(_) => Type::BOOL,
        StatementParameter::Texts(_) => Type::TEXT_ARRAY,
        StatementParameter::Numbers(_) => Type::INT8_ARRAY,
    }
}

/// Everything but streams works on the pool alone: the store itself cannot connect to anything.
pub(crate) async fn works_on(test: &TestStore, pool: Arc<dyn PostgresStatements>) {
    let nowhere = "postgres://midplane@127.0.0.1:1/postgres";
    let store = store(nowhere, &test.schema).with_statements(pool);
    run(&store, "dies").await;
    begin(&store, "job").await;
    let bytes = Some(Bytes::from_static(b"\0bytes"));
    finish(&store, "job", &Outcome::Failure, bytes.clone()).await;
    let job = execution("job");
    let again = succeeds("finishing", store.finish(&job, &Outcome::Failure, bytes)).await;
    assert_eq!(again, Change::AlreadySo);
    let producer: &dyn Producer = &store;
    let error = producer.complete(&job, None).await.expect_err("it failed");
    assert!(
        matches!(&error, ProduceError::Illegal { finished, .. } if *finished == Outcome::Failure),
        "{error:?}"
    );
    let error = producer.complete(&execution("never"), None).await;
    assert!(matches!(error, Err(ProduceError::Unknown(_))), "{error:?}");
    let lease = Duration::from_secs(60);
    let take = Take::new(9);
    let taken = succeeds("taking", store.take(&take, lease)).await;
    assert_eq!(taken.work[1].0.bytes.as_deref(), Some(&b"\0bytes"[..]));
    let claims: Vec<_> = taken.work.into_iter().map(|(_, claim)| claim).collect();
    let void = succeeds("renewing", store.renew(&claims, lease)).await;
    assert!(void.is_empty(), "{void:?}");
    let why = ErrorText::new("why");
    let verdicts = [Verdict::Dead(why.clone()), Verdict::Handled];
    let settled = claims.into_iter().zip(verdicts);
    let settled: Vec<_> = settled
        .map(|(claim, verdict)| Settled { claim, verdict })
        .collect();
    succeeds("settling", store.settle(&settled)).await;
    let page = succeeds("scanning", store.scan(&Scan::dead(9))).await;
    let dies = execution("dies");
    assert_eq!(page.errors, [(dies.clone(), why)]);
    assert_eq!(succeeds("replaying", store.replay(&[dies])).await, 1);
    let pruned = succeeds("pruning", store.prune(Duration::ZERO)).await;
    assert_eq!((pruned.records, pruned.executions), (2, 1));
    let refused = store.backend().subscribe_completions().await;
    let Err(SubscribeError::Backend(error)) = refused else {
        panic!("there is nothing to listen to, and {refused:?}");
    };
    assert_eq!(error.kind(), BackendErrorKind::Unreachable);
}

#[test]
fn producers_and_the_ledger_work_on_a_pool_of_the_program() {
    smol::block_on(async {
        let test = TestStore::start();
        let pool = OwnPool::new(&test.server().url()).await;
        works_on(&test, Arc::new(pool)).await;
    });
}

#[test]
fn producers_and_the_ledger_work_on_a_pool_of_another_driver() {
    smol::block_on(async {
        let test = TestStore::start();
        let pool = OwnPool::new(&test.server().url()).await;
        works_on(&test, Arc::new(OtherDriver(pool))).await;
    });
}
