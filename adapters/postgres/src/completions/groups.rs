//! The groups of the store, each with a ledger.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use midplane_completions::{
    BackendError, BackendErrorKind, Group, GroupName, GroupStart, GroupStatus, Groups, Ledger,
};

use super::statements::StatementParameter::{Number, Text, Truth};
use super::statements::StatementRow;
use super::{PostgresStore, micros};

#[async_trait]
impl Groups for PostgresStore {
    async fn register(&self, group: &Group) -> Result<Arc<dyn Ledger>, BackendError> {
        let name = group.name.as_str();
        if name.contains('\0') {
            let message =
                format!("the name of the group {name:?} holds a NUL, which Postgres cannot keep");
            return Err(BackendError::new(BackendErrorKind::Misconfigured, message));
        }
        let beginning = group.start == GroupStart::Beginning;
        // A parameter that may be null would be of a type of its own.
        let keep = group.keep.map_or(-1, micros);
        self.query(
            "SELECT \"midplane\".register($1, $2, nullif($3, -1))",
            &[Text(Some(name)), Truth(beginning), Number(keep)],
        )
        .await?;
        Ok(Arc::new(Self {
            group: Some(group.name.clone()),
            ..self.clone()
        }))
    }

    async fn groups(&self) -> Result<Vec<GroupStatus>, BackendError> {
        let statement = "SELECT name, keep, unhandled, dead FROM \"midplane\".list_groups()";
        let rows = self.query(statement, &[]).await?;
        rows.iter().map(|row| status(&**row)).collect()
    }

    async fn remove(&self, group: Option<&GroupName>) -> Result<bool, BackendError> {
        let name = group.map(GroupName::as_str);
        if name.is_some_and(|name| name.contains('\0')) {
            // Nothing with a NUL was ever registered.
            return Ok(false);
        }
        let statement = "SELECT \"midplane\".remove($1) AS removed";
        let rows = self.query(statement, &[Text(name)]).await?;
        Ok(rows.first().and_then(|row| row.truth("removed")) == Some(true))
    }
}

fn status(row: &dyn StatementRow) -> Result<GroupStatus, BackendError> {
    let name = row.text("name").map(GroupName::new).transpose();
    let name = name.map_err(|error| {
        let message = "the server has a group whose name is none";
        BackendError::new(BackendErrorKind::Protocol, message).caused_by(error)
    })?;
    let count = |column| u64::try_from(row.number(column).unwrap_or_default()).unwrap_or_default();
    let keep = row.number("keep").is_some().then(|| count("keep"));
    let status = GroupStatus::new(name, keep.map(Duration::from_micros));
    Ok(status.with_counts(count("unhandled"), count("dead")))
}
