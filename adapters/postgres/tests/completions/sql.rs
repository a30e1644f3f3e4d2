//! A client of the tests' own.

use std::error::Error;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use futures_timer::Delay;
use midplane_completions::{BackendError, BackendErrorKind, ExecutionId, Outcome, ProduceError};
use midplane_completions_suite::Transaction;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Where the connections are driven, whatever the test runs on.
pub(crate) static DRIVER: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
});

/// A connection.
#[derive(Debug)]
pub(crate) struct Sql(pub(crate) Client);

impl Sql {
    pub(crate) async fn open(url: &str) -> Self {
        Self::attempt(url).await.expect("a connection")
    }

    async fn attempt(url: &str) -> Result<Self, tokio_postgres::Error> {
        let url = url.to_owned();
        let connecting = DRIVER.spawn(async move {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
            // How it ends is seen by the calls.
            drop(tokio::spawn(connection));
            Ok(Self(client))
        });
        connecting.await.expect("no panic")
    }

    /// A connection once the server gives one.
    pub(crate) async fn insist(url: &str) -> Self {
        loop {
            match Self::attempt(url).await {
                Ok(open) => return open,
                Err(_) => Delay::new(Duration::from_millis(20)).await,
            }
        }
    }

    /// Runs statements, and gives the first value.
    pub(crate) async fn run(&self, text: &str) -> Option<String> {
        self.ask(text).await.expect("it is SQL")
    }

    /// Runs a call of an id and a payload, the latter in the type that the statement gives it.
    pub(crate) async fn call(&self, statement: &str, id: &str, payload: &'static str) {
        let prepared = self.0.prepare(statement).await.expect("it is SQL");
        let bytes = payload.as_bytes();
        let json = AsJson(payload);
        let payload: &(dyn ToSql + Sync) = match prepared.params()[1] {
            Type::BYTEA => &bytes,
            Type::JSON | Type::JSONB => &json,
            _ => &payload,
        };
        let called = self.0.query(&prepared, &[&id, payload]).await;
        called.expect("it is called");
    }

    pub(crate) async fn ask(&self, text: &str) -> Result<Option<String>, tokio_postgres::Error> {
        let messages = self.0.simple_query(text).await?;
        Ok(messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(String::from),
            _ => None,
        }))
    }
}

/// Text in the forms of json and jsonb.
#[derive(Debug)]
struct AsJson(&'static str);

impl ToSql for AsJson {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        if *kind == Type::JSONB {
            // The version of the binary form.
            out.put_u8(1);
        }
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::JSON | Type::JSONB)
    }

    to_sql_checked!();
}

/// Runs statements on a connection of its own, and gives the first value.
pub(crate) async fn sql(url: &str, text: &str) -> Option<String> {
    Sql::open(url).await.run(text).await
}

/// A transaction of a program's own.
pub(crate) struct OpenTransaction {
    pub(crate) sql: Sql,
    finish: String,
}

impl OpenTransaction {
    pub(crate) async fn new(sql: Sql, schema: &str) -> Self {
        // Where the server is gone, finishing says so.
        let _ = sql.ask("BEGIN").await;
        Self {
            sql,
            finish: format!("SELECT \"{schema}\".finish($1, $2, $3::bytea)"),
        }
    }
}

fn refused(error: tokio_postgres::Error) -> ProduceError {
    let message = "the transaction of the test failed";
    BackendError::new(BackendErrorKind::Unreachable, message)
        .caused_by(error)
        .into()
}

#[async_trait]
impl Transaction for OpenTransaction {
    async fn finish(
        &mut self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<(), ProduceError> {
        let (id, outcome, bytes) = (execution.as_str(), outcome.as_str(), bytes.as_deref());
        self.sql
            .0
            .query(&self.finish, &[&id, &outcome, &bytes])
            .await
            .map(drop)
            .map_err(refused)
    }

    async fn commit(self: Box<Self>) -> Result<(), ProduceError> {
        self.sql.ask("COMMIT").await.map(drop).map_err(refused)
    }

    async fn rollback(self: Box<Self>) {
        // Where the server is gone, it is undone by that.
        let _ = self.sql.ask("ROLLBACK").await;
    }
}
