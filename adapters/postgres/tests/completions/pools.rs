//! Pools of other crates run the statements of producers and the ledger.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use midplane_completions::{BackendError, BackendErrorKind};
use midplane_postgres::{PostgresStatements, StatementError, StatementParameter, StatementRow};
use sqlx::postgres::{PgPool, PgPoolOptions, PgRow};
use sqlx::{Postgres, Row, Type};
use tokio_postgres::NoTls;

use crate::handed_in::works_on;
use crate::sql::DRIVER;
use crate::test_store::TestStore;

fn lost(error: impl std::error::Error + Send + Sync + 'static) -> StatementError {
    let lost = BackendError::new(BackendErrorKind::Unreachable, "the pool gave no answer");
    StatementError::Lost(lost.caused_by(error))
}

#[derive(Debug)]
struct Deadpool(Pool);

#[async_trait]
impl PostgresStatements for Deadpool {
    async fn query(
        &self,
        statement: &str,
        parameters: &[StatementParameter<'_>],
    ) -> Result<Vec<Box<dyn StatementRow>>, StatementError> {
        let client = self.0.get().await.map_err(lost)?;
        PostgresStatements::query(&**client, statement, parameters).await
    }
}

#[test]
fn producers_and_the_ledger_work_on_a_pool_of_deadpool_postgres() {
    let test = TestStore::start();
    DRIVER.block_on(async {
        let config = test.server().url().parse().expect("a url");
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let pool = Pool::builder(Manager::from_config(config, NoTls, recycling))
            .max_size(2)
            .runtime(Runtime::Tokio1)
            .build();
        works_on(&test, Arc::new(Deadpool(pool.expect("a pool")))).await;
    });
}

#[derive(Debug)]
struct Sqlx(PgPool);

struct SqlxRow(PgRow);

impl SqlxRow {
    /// A column, which is of the type that it is asked for.
    fn column<'row, T: sqlx::Decode<'row, Postgres> + Type<Postgres>>(
        &'row self,
        column: &str,
    ) -> Option<T> {
        self.0.try_get(column).expect("the column has this type")
    }
}

impl StatementRow for SqlxRow {
    fn text(&self, column: &str) -> Option<&str> {
        self.column(column)
    }

    fn bytes(&self, column: &str) -> Option<&[u8]> {
        self.column(column)
    }

    fn number(&self, column: &str) -> Option<i64> {
        self.column(column)
    }

    fn truth(&self, column: &str) -> Option<bool> {
        self.column(column)
    }
}

fn failed(error: sqlx::Error) -> StatementError {
    match error.as_database_error() {
        Some(refusal) => StatementError::Refused {
            code: refusal.code().unwrap_or_default().into_owned(),
            message: refusal.message().to_owned(),
            detail: refusal
                .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
                .and_then(|refusal| refusal.detail())
                .map(str::to_owned),
        },
        None => lost(error),
    }
}

#[async_trait]
impl PostgresStatements for Sqlx {
    async fn query(
        &self,
        statement: &str,
        parameters: &[StatementParameter<'_>],
    ) -> Result<Vec<Box<dyn StatementRow>>, StatementError> {
        let mut query = sqlx::query(statement);
        for parameter in parameters {
            query = match *parameter {
                StatementParameter::Text(text) => query.bind(text),
                StatementParameter::Bytes(bytes) => query.bind(bytes),
                StatementParameter::Number(number) => query.bind(number),
                StatementParameter::Truth(truth) => query.bind(truth),
                StatementParameter::Texts(texts) => query.bind(texts),
                StatementParameter::Numbers(numbers) => query.bind(numbers),
            };
        }
        let rows = query.fetch_all(&self.0).await.map_err(failed)?;
        Ok(rows
            .into_iter()
            .map(|row| Box::new(SqlxRow(row)) as Box<dyn StatementRow>)
            .collect())
    }
}

#[test]
fn producers_and_the_ledger_work_on_a_pool_of_sqlx() {
    let test = TestStore::start();
    DRIVER.block_on(async {
        let options = PgPoolOptions::new().max_connections(2);
        let pool = options.connect(&test.server().url()).await.expect("a pool");
        works_on(&test, Arc::new(Sqlx(pool))).await;
    });
}
