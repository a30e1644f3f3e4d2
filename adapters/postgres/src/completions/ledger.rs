//! The ledger of a group.

use std::time::Duration;

use async_trait::async_trait;
use midplane_completions::{
    BackendError, BackendErrorKind, Claim, ErrorText, ExecutionId, Ledger, Scan, Scanned, Settled,
    Take, Taken, Verdict,
};

use super::place::HistoryPlace;
use super::statements::StatementParameter::{self, Number, Numbers, Text, Texts, Truth};
use super::statements::StatementRow;
use super::{PostgresStore, micros, row};

impl PostgresStore {
    /// Calls a procedure, that of groups where the group has a name, for these columns of its rows.
    async fn call_of_group(
        &self,
        columns: &str,
        procedure: &str,
        arguments: &str,
        parameters: &[StatementParameter<'_>],
    ) -> Result<Vec<Box<dyn StatementRow>>, BackendError> {
        let mut parameters = parameters.to_vec();
        let called = match &self.group {
            None => {
                format!("\"midplane\".unnamed(), \"midplane\".{procedure}({arguments})")
            }
            Some(group) => {
                parameters.push(Text(Some(group.as_str())));
                let last = parameters.len();
                format!("\"midplane\".{procedure}(${last}, {arguments})")
            }
        };
        let statement = format!("SELECT {columns} FROM {called} AS called");
        Ok(self.query(&statement, &parameters).await?)
    }
}

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
            .call_of_group(
                "store, more, token, failures::bigint, number, execution, outcome, bytes, \
                 finished_at, flow, namespace, tag",
                "take",
                "$1, $2, $3::integer, $4::integer, $5",
                &[
                    Text(namespace),
                    Text(tag),
                    bound(take.most),
                    bound(take.of_a_flow),
                    Number(micros(lease)),
                ],
            )
            .await?;
        let mut taken = Taken::default();
        for found in &rows {
            let store = found.number("store").unwrap_or_default();
            *self.number.lock() = Some(store);
            taken.more = found.truth("more") == Some(true);
            let (Some(number), Some(token)) = (found.number("number"), found.number("token"))
            else {
                continue;
            };
            // The constraints of the table keep what cannot be read out.
            let place = HistoryPlace {
                number,
                check: None,
            };
            let Ok(completion) = row::completion(&**found, place.cursor(store)) else {
                continue;
            };
            let failures = found.number("failures").unwrap_or_default();
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
            .call_of_group(
                "token",
                "renew",
                "$1, $2, $3",
                &[Texts(&executions), Numbers(&tokens), Number(micros(lease))],
            )
            .await?;
        let void = |claim: &&Claim| {
            let token = claim.token.cast_signed();
            rows.iter().any(|row| row.number("token") == Some(token))
        };
        Ok(claims.iter().filter(void).cloned().collect())
    }

    async fn settle(&self, settled: &[Settled]) -> Result<(), BackendError> {
        let (executions, tokens) = columns(settled.iter().map(|settled| &settled.claim));
        let (mut verdicts, mut pauses, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for Settled { verdict, .. } in settled {
            let (name, pause, error) = match verdict {
                Verdict::Handled => ("handled", 0, ""),
                Verdict::Failed(pause) => ("failed", micros(*pause), ""),
                Verdict::Dead(error) => ("dead", 0, error.as_str()),
                Verdict::Returned => ("returned", 0, ""),
            };
            verdicts.push(name);
            pauses.push(pause);
            errors.push(error);
        }
        self.call_of_group(
            "1::bigint AS settled",
            "settle",
            "$1, $2, $3, $4, $5",
            &[
                Texts(&executions),
                Numbers(&tokens),
                Texts(&verdicts),
                Numbers(&pauses),
                Texts(&errors),
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
            .call_of_group(
                "called.*",
                "scan",
                "$1, $2, $3::integer",
                &[Number(after), Truth(scan.dead), bound(scan.most)],
            )
            .await?;
        let (mut completions, mut errors) = (Vec::new(), Vec::new());
        let mut next = None;
        for found in &rows {
            let store = found.number("store").unwrap_or_default();
            *self.number.lock() = Some(store);
            let Some(number) = found.number("number") else {
                continue;
            };
            let check = None;
            let place = HistoryPlace { number, check }.cursor(store);
            next = (found.truth("more") == Some(true)).then_some(place.clone());
            // The constraints of the table keep what cannot be read out.
            let Ok(completion) = row::completion(&**found, place) else {
                continue;
            };
            let error = found.text("error").map(ErrorText::new);
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
        let rows = self
            .call_of_group("called AS count", "replay", "$1", &[Texts(&wanted)])
            .await?;
        let count = rows.first().and_then(|row| row.number("count"));
        let count = count.unwrap_or_default();
        u64::try_from(count).map_err(|error| {
            let message = "the server counts less than nothing";
            BackendError::new(BackendErrorKind::Protocol, message).caused_by(error)
        })
    }
}

/// A bound as the procedures take it, 1 at least.
fn bound(most: usize) -> StatementParameter<'static> {
    const MOST: i32 = i32::MAX - 1;
    let most = i32::try_from(most.max(1)).map_or(MOST, |most| most.min(MOST));
    Number(most.into())
}

fn columns<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> (Vec<&'a str>, Vec<i64>) {
    claims
        .into_iter()
        .map(|claim| (claim.execution.as_str(), claim.token.cast_signed()))
        .unzip()
}
