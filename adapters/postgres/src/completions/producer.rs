//! The producer of the store: starting and finishing executions.

use async_trait::async_trait;
use bytes::Bytes;
use midplane_completions::{Change, Execution, ExecutionId, Outcome, ProduceError, Producer};

use super::PostgresStore;
use super::statements::{StatementError, StatementParameter};

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
        let parameters = [Some(id), flow, namespace, tag].map(StatementParameter::Text);
        self.call(
            "SELECT \"midplane\".start($1, $2, $3, $4) AS changed",
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
        let parameters = [
            StatementParameter::Text(Some(execution.as_str())),
            StatementParameter::Text(Some(outcome.as_str())),
            StatementParameter::Bytes(bytes.as_deref()),
        ];
        self.call(
            "SELECT \"midplane\".finish($1, $2, $3::bytea) AS changed",
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
        parameters: &[StatementParameter<'_>],
        execution: &ExecutionId,
        asked: &str,
    ) -> Result<Change, ProduceError> {
        let error = match self.query(statement, parameters).await {
            Ok(rows) => {
                return Ok(match rows.first().and_then(|row| row.truth("changed")) {
                    Some(true) => Change::Made,
                    _ => Change::AlreadySo,
                });
            }
            Err(error) => error,
        };
        Err(match error {
            StatementError::Refused { code, .. } if code == "MP001" => {
                ProduceError::Unknown(execution.clone())
            }
            StatementError::Refused { code, detail, .. } if code == "MP002" => {
                ProduceError::Illegal {
                    execution: execution.clone(),
                    finished: Outcome::from(detail.as_deref().unwrap_or_default()),
                    asked: asked.to_owned(),
                }
            }
            StatementError::Refused { code, message, .. } if code == "MP003" => {
                ProduceError::Unfit(message)
            }
            error => ProduceError::Backend(error.into()),
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
