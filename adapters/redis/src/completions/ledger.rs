//! The ledger of the store.

use std::time::Duration;

use async_trait::async_trait;
use midplane_completions::{BackendError, Claim, ExecutionId, Ledger, Scan, Scanned};
use redis::Cmd;

use super::connection::unexpected_answer;
use super::place::HistoryPlace;
use super::{RedisStore, reply};

/// The most executions in one call: the server does nothing else meanwhile.
const AT_ONCE: usize = 1_000;

#[async_trait]
impl Ledger for RedisStore {
    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        // The place of another store is unknown here: the scan starts over.
        let store = self.shared.connection.store();
        let after = scan.after.as_ref();
        let after = after.and_then(|place| HistoryPlace::of(place, store).ok());
        let mut call = self.shared.keys.look("scan");
        call.arg(after.map_or(0, |place| place.number))
            .arg(micros(scan.stale))
            .arg(scan.most.clamp(1, AT_ONCE));
        let answer = self.shared.call("scan what is not handled", &call).await?;
        reply::scanned(&answer).ok_or_else(|| unexpected_answer("scan"))
    }

    async fn claim(
        &self,
        executions: &[ExecutionId],
        lease: Duration,
    ) -> Result<Vec<Claim>, BackendError> {
        let mut claims = Vec::new();
        for executions in executions.chunks(AT_ONCE) {
            let mut call = self.shared.keys.call("claim");
            call.arg(micros(lease));
            for execution in executions {
                call.arg(execution.as_str());
            }
            let answer = self.shared.call("claim executions", &call).await?;
            claims.extend(reply::claims(&answer).ok_or_else(|| unexpected_answer("claim"))?);
        }
        Ok(claims)
    }

    async fn handled(&self, claims: &[Claim]) -> Result<(), BackendError> {
        for claims in claims.chunks(AT_ONCE) {
            self.settle(self.shared.keys.call("handled"), claims)
                .await?;
        }
        Ok(())
    }

    async fn release(&self, claims: &[Claim], pause: Duration) -> Result<(), BackendError> {
        for claims in claims.chunks(AT_ONCE) {
            let mut call = self.shared.keys.call("release");
            call.arg(micros(pause));
            self.settle(call, claims).await?;
        }
        Ok(())
    }
}

impl RedisStore {
    async fn settle(&self, mut call: Cmd, claims: &[Claim]) -> Result<(), BackendError> {
        for claim in claims {
            call.arg(claim.execution.as_str()).arg(claim.token);
        }
        self.shared.call("settle claims", &call).await?;
        Ok(())
    }
}

/// Microseconds, as exact as the server's arithmetic needs them: 30 years and more are the same to a lease.
fn micros(duration: Duration) -> u64 {
    const LONGEST: u128 = 1_000_000_000_000_000;
    // It fits: the bound is below 2^50.
    duration.as_micros().min(LONGEST) as u64
}
