//! The ledger of a group.

use std::time::Duration;

use async_trait::async_trait;
use midplane_completions::{
    BackendError, Claim, ExecutionId, Ledger, Scan, Scanned, Settled, Take, Taken, Verdict,
};

use super::error::unexpected_answer;
use super::library::micros;
use super::place::HistoryPlace;
use super::{RedisStore, reply};

/// The most executions in one call: the server does nothing else meanwhile.
const AT_ONCE: usize = 1_000;

#[async_trait]
impl Ledger for RedisStore {
    async fn take(&self, take: &Take, lease: Duration) -> Result<Taken, BackendError> {
        let filter = &take.filter;
        let mut call = self.keys().call("take");
        call.arg(filter.namespace().map_or("", |name| name.as_str()))
            .arg(filter.tag().map_or("", |tag| tag.as_str()))
            .arg(take.most.clamp(1, AT_ONCE))
            .arg(take.of_a_flow.clamp(1, AT_ONCE))
            .arg(micros(lease));
        let answer = self.shared.call("take executions", &call).await?;
        reply::taken(&answer).ok_or_else(|| unexpected_answer("take"))
    }

    async fn renew(&self, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>, BackendError> {
        let mut void = Vec::new();
        for claims in claims.chunks(AT_ONCE) {
            let mut call = self.keys().call("renew");
            call.arg(micros(lease));
            for claim in claims {
                call.arg(claim.execution.as_str()).arg(claim.token);
            }
            let answer = self.shared.call("renew claims", &call).await?;
            let tokens = reply::tokens(&answer).ok_or_else(|| unexpected_answer("renew"))?;
            let claims = claims.iter().filter(|claim| tokens.contains(&claim.token));
            void.extend(claims.cloned());
        }
        Ok(void)
    }

    async fn settle(&self, settled: &[Settled]) -> Result<(), BackendError> {
        for settled in settled.chunks(AT_ONCE) {
            let mut call = self.keys().call("settle");
            for Settled { claim, verdict } in settled {
                let (name, pause, error) = match verdict {
                    Verdict::Handled => ("handled", 0, ""),
                    Verdict::Failed(pause) => ("failed", micros(*pause), ""),
                    Verdict::Dead(error) => ("dead", 0, error.as_str()),
                    Verdict::Returned => ("returned", 0, ""),
                };
                call.arg(claim.execution.as_str())
                    .arg(claim.token)
                    .arg(name)
                    .arg(pause)
                    .arg(error);
            }
            self.shared.call("settle claims", &call).await?;
        }
        Ok(())
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        // The place of another store is unknown here: the scan starts over.
        let store = self.shared.connection.store();
        let after = scan.after.as_ref();
        let after = after.and_then(|place| HistoryPlace::of(place, store).ok());
        let mut call = self.keys().look("scan");
        call.arg(after.map_or(0, |place| place.number))
            .arg(if scan.dead { "dead" } else { "" })
            .arg(scan.most.clamp(1, AT_ONCE));
        let answer = self.shared.call("scan the ledger", &call).await?;
        reply::scanned(&answer).ok_or_else(|| unexpected_answer("scan"))
    }

    async fn replay(&self, executions: &[ExecutionId]) -> Result<u64, BackendError> {
        let mut count = 0;
        for executions in executions.chunks(AT_ONCE) {
            let mut call = self.keys().call("replay");
            for execution in executions {
                call.arg(execution.as_str());
            }
            let answer = self.shared.call("replay dead letters", &call).await?;
            count += reply::number(&answer).ok_or_else(|| unexpected_answer("replay"))?;
        }
        Ok(count)
    }
}
