//! The producer of the store: starting and finishing executions.

use async_trait::async_trait;
use bytes::Bytes;
use midplane_completions::{Change, Execution, ExecutionId, Outcome, ProduceError, Producer};
use tokio_postgres::types::Type;

use super::PostgresStore;
use super::connection::Parameter;
use super::pool::QueryError;

#[async_trait]
impl Producer for PostgresStore {
    async fn start(&self, execution: &Execution) -> Result<Change, ProduceError> {
        let flow = execution.flow.as_ref().map(AsRef::as_ref);
        let namespace = execution.namespace.as_ref().map(AsRef::as_ref);
        let tag = execution.tag.as_ref().map(AsRef::as_ref);
        let id = execution.id.as_str();
        for text in [Some(id), flow, namespace, tag].into_iter().flatten() {
            fits(text)?;
        }
        let parameters: [Parameter<'_>; 4] = [
            (&id, Type::TEXT),
            (&flow, Type::TEXT),
            (&namespace, Type::TEXT),
            (&tag, Type::TEXT),
        ];
        self.call(
            "SELECT \"midplane\".start($1, $2, $3, $4)",
            &parameters,
            &execution.id,
            "started",
        )
        .await
    }

    async fn finish(
        &self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<Change, ProduceError> {
        fits(execution.as_str())?;
        fits(outcome.as_str())?;
        let parameters: [Parameter<'_>; 3] = [
            (&execution.as_str(), Type::TEXT),
            (&outcome.as_str(), Type::TEXT),
            (&bytes.as_deref(), Type::BYTEA),
        ];
        self.call(
            "SELECT \"midplane\".finish($1, $2, $3)",
            &parameters,
            execution,
            outcome.as_str(),
        )
        .await
    }
}

impl PostgresStore {
    /// Calls a procedure that returns whether it changed anything.
    async fn call(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
        execution: &ExecutionId,
        asked: &str,
    ) -> Result<Change, ProduceError> {
        let failed = match self.query(statement, parameters).await {
            Ok(rows) => {
                return Ok(match rows.first().is_some_and(|row| row.get(0)) {
                    true => Change::Made,
                    false => Change::AlreadySo,
                });
            }
            Err(QueryError::Refused(failed)) => failed,
            Err(lost) => return Err(ProduceError::Backend(lost.into())),
        };
        let error = failed.error.as_ref();
        let said = error.and_then(tokio_postgres::Error::as_db_error);
        let code = said.map(|said| said.code().code());
        Err(match (code, said) {
            (Some("MP001"), _) => ProduceError::Unknown(execution.clone()),
            (Some("MP002"), Some(said)) => ProduceError::Illegal {
                execution: execution.clone(),
                finished: Outcome::from(said.detail().unwrap_or_default()),
                asked: asked.to_owned(),
            },
            (Some("MP003"), Some(said)) => ProduceError::Unfit(said.message().to_owned()),
            _ => ProduceError::Backend(QueryError::Refused(failed).into()),
        })
    }
}

/// Postgres has no text with a NUL in it.
fn fits(text: &str) -> Result<(), ProduceError> {
    match text.contains('\0') {
        true => Err(ProduceError::Unfit(format!(
            "{text:?} has a NUL in it, which Postgres does not store"
        ))),
        false => Ok(()),
    }
}
