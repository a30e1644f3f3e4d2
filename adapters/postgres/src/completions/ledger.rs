//! The ledger of the store.

use std::time::Duration;

use async_trait::async_trait;
use midplane_completions::{
    BackendError, BackendErrorKind, Claim, ErrorText, ExecutionId, Ledger, Scan, Scanned, Settled,
    Take, Taken, Verdict,
};
use tokio_postgres::types::Type;

use super::place::HistoryPlace;
use super::{PostgresStore, micros, row};

#[async_trait]
impl Ledger for PostgresStore {
    async fn take(&self, take: &Take, lease: Duration) -> Result<Taken, BackendError> {
        let namespace = take.filter.namespace().map(|name| name.as_str());
        let tag = take.filter.tag().map(|tag| tag.as_str());
        if [namespace, tag]
            .into_iter()
            .flatten()
            .any(|text| text.contains('\0'))
        {
            // Nothing with a NUL was ever started.
            return Ok(Taken::default());
        }
        let rows = self
            .query(
                "SELECT * FROM \"midplane\".take($1, $2, $3, $4, $5)",
                &[
                    (&namespace, Type::TEXT),
                    (&tag, Type::TEXT),
                    (&bound(take.most), Type::INT4),
                    (&bound(take.of_a_flow), Type::INT4),
                    (&micros(lease), Type::INT8),
                ],
            )
            .await?;
        let mut taken = Taken::default();
        for found in &rows {
            let store: i64 = found.get("store");
            *self.number.lock() = Some(store);
            taken.more = found.get("more");
            let Some(number) = found.get::<_, Option<i64>>("number") else {
                continue;
            };
            // The constraints of the table keep what cannot be read out.
            let place = HistoryPlace {
                number,
                check: None,
            };
            let Ok(completion) = row::completion(found, place.cursor(store)) else {
                continue;
            };
            let (token, failures): (i64, i32) = (found.get("token"), found.get("failures"));
            let failures = u32::try_from(failures).unwrap_or_default();
            let execution = completion.execution.clone();
            let claim = Claim::new(execution, token.cast_unsigned(), failures);
            taken.work.push((completion, claim));
        }
        Ok(taken)
    }

    async fn renew(&self, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>, BackendError> {
        let (executions, tokens) = columns(claims);
        let rows = self
            .query(
                "SELECT * FROM \"midplane\".renew($1, $2, $3)",
                &[
                    (&executions, Type::TEXT_ARRAY),
                    (&tokens, Type::INT8_ARRAY),
                    (&micros(lease), Type::INT8),
                ],
            )
            .await?;
        let void = |claim: &&Claim| {
            let token = claim.token.cast_signed();
            rows.iter().any(|row| row.get::<_, i64>(1) == token)
        };
        Ok(claims.iter().filter(void).cloned().collect())
    }

    async fn settle(&self, settled: &[Settled]) -> Result<(), BackendError> {
        let (executions, tokens) = columns(settled.iter().map(|settled| &settled.claim));
        let (mut verdicts, mut pauses, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for Settled { verdict, .. } in settled {
            let (name, pause, error) = match verdict {
                Verdict::Handled => ("handled", 0, None),
                Verdict::Failed(pause) => ("failed", micros(*pause), None),
                Verdict::Dead(error) => ("dead", 0, Some(error.as_str())),
                Verdict::Returned => ("returned", 0, None),
            };
            verdicts.push(name);
            pauses.push(pause);
            errors.push(error);
        }
        self.query(
            "SELECT \"midplane\".settle($1, $2, $3, $4, $5)",
            &[
                (&executions, Type::TEXT_ARRAY),
                (&tokens, Type::INT8_ARRAY),
                (&verdicts, Type::TEXT_ARRAY),
                (&pauses, Type::INT8_ARRAY),
                (&errors, Type::TEXT_ARRAY),
            ],
        )
        .await?;
        Ok(())
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        let store = *self.number.lock();
        // The place of another store is unknown here: the scan starts over.
        let after = scan
            .after
            .as_ref()
            .zip(store)
            .and_then(|(place, store)| HistoryPlace::of(place, store).ok())
            .map_or(0, |place| place.number);
        let rows = self
            .query(
                "SELECT * FROM \"midplane\".scan($1, $2, $3)",
                &[
                    (&after, Type::INT8),
                    (&scan.dead, Type::BOOL),
                    (&bound(scan.most), Type::INT4),
                ],
            )
            .await?;
        let (mut completions, mut errors) = (Vec::new(), Vec::new());
        let mut next = None;
        for found in &rows {
            let store: i64 = found.get("store");
            *self.number.lock() = Some(store);
            let Some(number) = found.get::<_, Option<i64>>("number") else {
                continue;
            };
            let check = None;
            let place = HistoryPlace { number, check }.cursor(store);
            next = found.get::<_, bool>("more").then_some(place.clone());
            // The constraints of the table keep what cannot be read out.
            let Ok(completion) = row::completion(found, place) else {
                continue;
            };
            let error = found.get::<_, Option<&str>>("error").map(ErrorText::new);
            errors.extend(error.map(|error| (completion.execution.clone(), error)));
            completions.push(completion);
        }
        Ok(Scanned::new(completions, next).with_errors(errors))
    }

    async fn replay(&self, executions: &[ExecutionId]) -> Result<u64, BackendError> {
        // An id with a NUL was never started.
        let wanted: Vec<_> = executions
            .iter()
            .map(ExecutionId::as_str)
            .filter(|id| !id.contains('\0'))
            .collect();
        let statement = "SELECT \"midplane\".replay($1)";
        let rows = self
            .query(statement, &[(&wanted, Type::TEXT_ARRAY)])
            .await?;
        let count = rows.first().map_or(0_i64, |row| row.get(0));
        u64::try_from(count).map_err(|error| {
            let message = "the server counts less than nothing";
            BackendError::new(BackendErrorKind::Protocol, message).caused_by(error)
        })
    }
}

/// A bound as the procedures take it, 1 at least.
fn bound(most: usize) -> i32 {
    i32::try_from(most.max(1)).map_or(i32::MAX - 1, |most| most.min(i32::MAX - 1))
}

fn columns<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> (Vec<&'a str>, Vec<i64>) {
    claims
        .into_iter()
        .map(|claim| (claim.execution.as_str(), claim.token.cast_signed()))
        .unzip()
}
