//! A client of the tests' own.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_timer::Delay;
use midplane_completions::{BackendError, BackendErrorKind, ExecutionId, Outcome, ProduceError};
use midplane_completions_suite::Transaction;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Where the connections are driven, whatever the test runs on.
static DRIVER: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
});

/// A connection.
pub(crate) struct Sql(Client);

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

    pub(crate) async fn ask(&self, text: &str) -> Result<Option<String>, tokio_postgres::Error> {
        let messages = self.0.simple_query(text).await?;
        Ok(messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(String::from),
            _ => None,
        }))
    }
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
            finish: format!("SELECT \"{schema}\".finish($1, $2, $3)"),
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
