//! The ledger of the store.

use std::time::Duration;

use async_trait::async_trait;
use midplane_completions::{BackendError, Claim, ExecutionId, Ledger, Scan, Scanned};
use midplane_core::Instant;

use super::MemoryStore;
use super::state::{FinishedExecution, StoreState};

#[async_trait]
impl Ledger for MemoryStore {
    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        let now = self.shared.timer.now();
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        // The place of another store is unknown here: the scan starts over.
        let from = scan
            .after
            .as_ref()
            .and_then(|place| self.shared.number(place).ok())
            .unwrap_or(0);
        let most = scan.most.max(1);
        let mut completions = Vec::new();
        let mut next = None;
        for (&number, execution) in state.unhandled.range(from..) {
            if completions.len() == most {
                next = Some(self.shared.cursor(number));
                break;
            }
            let record = state.executions.get(execution);
            completions.extend(
                record
                    .and_then(|record| record.finished.as_ref())
                    .filter(|finished| finished.due(now, scan.stale))
                    .map(|finished| finished.completion.clone()),
            );
        }
        Ok(Scanned::new(completions, next))
    }

    async fn claim(
        &self,
        executions: &[ExecutionId],
        lease: Duration,
    ) -> Result<Vec<Claim>, BackendError> {
        let now = self.shared.timer.now();
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let mut claims = Vec::new();
        for execution in executions {
            let token = state.tokens + 1;
            let record = state.executions.get_mut(execution);
            let Some(finished) = record.and_then(|record| record.finished.as_mut()) else {
                continue;
            };
            if finished.handled || finished.leased(now) {
                continue;
            }
            finished.lease = Some((token, now + lease));
            claims.push(Claim::new(execution.clone(), token, finished.failures));
            state.tokens = token;
        }
        Ok(claims)
    }

    async fn handled(&self, claims: &[Claim]) -> Result<(), BackendError> {
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        for claim in claims {
            let Some(finished) = held(state, claim) else {
                continue;
            };
            finished.handled = true;
            finished.lease = None;
            let number = finished.number;
            state.unhandled.remove(&number);
            state.forget(&claim.execution);
        }
        Ok(())
    }

    async fn release(&self, claims: &[Claim], pause: Duration) -> Result<(), BackendError> {
        let now = self.shared.timer.now();
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        for claim in claims {
            if let Some(finished) = held(state, claim) {
                finished.lease = None;
                finished.failures = finished.failures.saturating_add(1);
                finished.paused = now + pause;
            }
        }
        Ok(())
    }
}

impl FinishedExecution {
    fn leased(&self, now: Instant) -> bool {
        self.lease.is_some_and(|(_, until)| now < until)
    }

    /// Whether a scan returns the execution.
    fn due(&self, now: Instant, stale: Duration) -> bool {
        !self.handled && !self.leased(now) && self.paused <= now && self.at + stale <= now
    }
}

/// The execution of the claim, unless it was claimed by another since.
fn held<'state>(
    state: &'state mut StoreState,
    claim: &Claim,
) -> Option<&'state mut FinishedExecution> {
    let finished = state
        .executions
        .get_mut(&claim.execution)?
        .finished
        .as_mut()?;
    finished
        .lease
        .is_some_and(|(token, _)| token == claim.token)
        .then_some(finished)
}
