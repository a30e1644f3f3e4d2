//! The ledger of the store.

use std::time::Duration;

use async_trait::async_trait;
use midplane_completions::{
    BackendError, BackendErrorKind, Claim, ExecutionId, Ledger, Scan, Scanned,
};
use tokio_postgres::types::Type;

use super::place::HistoryPlace;
use super::{PostgresStore, micros, row};

#[async_trait]
impl Ledger for PostgresStore {
    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        let store = *self.number.lock();
        // The place of another store is unknown here: the scan starts over.
        let after = scan
            .after
            .as_ref()
            .zip(store)
            .and_then(|(place, store)| HistoryPlace::of(place, store).ok())
            .map_or(0, |place| place.number);
        let most = i32::try_from(scan.most.max(1))
            .unwrap_or(i32::MAX - 1)
            .min(i32::MAX - 1);
        let rows = self
            .query(
                "SELECT * FROM \"midplane\".scan($1, $2, $3)",
                &[
                    (&after, Type::INT8),
                    (&micros(scan.stale), Type::INT8),
                    (&most, Type::INT4),
                ],
            )
            .await?;
        let mut completions = Vec::new();
        let mut next = None;
        for found in &rows {
            let store: i64 = found.get("store");
            *self.number.lock() = Some(store);
            let Some(number) = found.get::<_, Option<i64>>("number") else {
                continue;
            };
            let check = None;
            let place = HistoryPlace { number, check }.cursor(store);
            // The constraints of the table keep what cannot be read out.
            completions.extend(row::completion(found, place.clone()));
            next = found.get::<_, bool>("more").then_some(place);
        }
        Ok(Scanned::new(completions, next))
    }

    async fn claim(
        &self,
        executions: &[ExecutionId],
        lease: Duration,
    ) -> Result<Vec<Claim>, BackendError> {
        // An id with a NUL was never started.
        let wanted: Vec<_> = executions
            .iter()
            .map(ExecutionId::as_str)
            .filter(|id| !id.contains('\0'))
            .collect();
        let rows = self
            .query(
                "SELECT * FROM \"midplane\".claim($1, $2)",
                &[(&wanted, Type::TEXT_ARRAY), (&micros(lease), Type::INT8)],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let execution = ExecutionId::new(row.get::<_, &str>(0)).map_err(|error| {
                    let message = "an execution has an id that cannot be read";
                    BackendError::new(BackendErrorKind::Protocol, message).caused_by(error)
                })?;
                let (token, failures): (i64, i32) = (row.get(1), row.get(2));
                let failures = u32::try_from(failures).unwrap_or_default();
                Ok(Claim::new(execution, token.cast_unsigned(), failures))
            })
            .collect()
    }

    async fn handled(&self, claims: &[Claim]) -> Result<(), BackendError> {
        let (executions, tokens) = columns(claims);
        self.query(
            "SELECT \"midplane\".handled($1, $2)",
            &[(&executions, Type::TEXT_ARRAY), (&tokens, Type::INT8_ARRAY)],
        )
        .await?;
        Ok(())
    }

    async fn release(&self, claims: &[Claim], pause: Duration) -> Result<(), BackendError> {
        let (executions, tokens) = columns(claims);
        self.query(
            "SELECT \"midplane\".release($1, $2, $3)",
            &[
                (&executions, Type::TEXT_ARRAY),
                (&tokens, Type::INT8_ARRAY),
                (&micros(pause), Type::INT8),
            ],
        )
        .await?;
        Ok(())
    }
}

fn columns(claims: &[Claim]) -> (Vec<&str>, Vec<i64>) {
    claims
        .iter()
        .map(|claim| (claim.execution.as_str(), claim.token.cast_signed()))
        .unzip()
}
