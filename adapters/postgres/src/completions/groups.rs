//! The groups of the store, each with a ledger.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use midplane_completions::{
    BackendError, BackendErrorKind, Claim, ExecutionId, Group, GroupName, GroupStart, GroupStatus,
    Groups, Ledger, Scan, Scanned, Settled, Take, Taken,
};

use super::ledger::PostgresLedger;
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
        Ok(Arc::new(self.ledger(Some(group.name.clone()))))
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

impl PostgresStore {
    fn ledger(&self, group: Option<GroupName>) -> PostgresLedger {
        PostgresLedger {
            store: self.clone(),
            group,
        }
    }
}

/// The ledger of the group without a name.
#[async_trait]
impl Ledger for PostgresStore {
    async fn take(&self, take: &Take, lease: Duration) -> Result<Taken, BackendError> {
        self.ledger(None).take(take, lease).await
    }

    async fn renew(&self, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>, BackendError> {
        self.ledger(None).renew(claims, lease).await
    }

    async fn settle(&self, settled: &[Settled]) -> Result<(), BackendError> {
        self.ledger(None).settle(settled).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        self.ledger(None).scan(scan).await
    }

    async fn replay(&self, executions: &[ExecutionId]) -> Result<u64, BackendError> {
        self.ledger(None).replay(executions).await
    }
}
