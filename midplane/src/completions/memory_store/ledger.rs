//! The ledger of the store.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use midplane_completions::{
    BackendError, Claim, Completion, ExecutionId, FlowId, Ledger, Namespace, Scan, Scanned,
    Settled, Take, Taken, Verdict,
};
use midplane_core::Instant;

use super::MemoryStore;
use super::state::{FinishedExecution, StoreState};

#[async_trait]
impl Ledger for MemoryStore {
    async fn take(&self, take: &Take, lease: Duration) -> Result<Taken, BackendError> {
        let now = self.shared.timer.now();
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let most = take.most.max(1);
        let (found, mut more) = due(state, take, now);
        let mut work = Vec::new();
        for id in in_turns(found, state.turn.as_ref()).collect::<Vec<_>>() {
            if work.len() == most {
                more = true;
                break;
            }
            let token = state.tokens + 1;
            let record = state.executions.get_mut(&id);
            let Some(finished) = record.and_then(|record| record.finished.as_mut()) else {
                continue;
            };
            finished.lease = Some((token, now + lease));
            let claim = Claim::new(id, token, finished.failures);
            state.tokens = token;
            state.turn = Some(finished.completion.namespace.clone());
            state.touched.insert(claim.execution.clone());
            work.push((finished.completion.clone(), claim));
        }
        Ok(Taken::new(work, more))
    }

    async fn renew(&self, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>, BackendError> {
        let now = self.shared.timer.now();
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let mut void = Vec::new();
        for claim in claims {
            let record = state.executions.get_mut(&claim.execution);
            let Some(finished) = record.and_then(|record| record.finished.as_mut()) else {
                // It was handled, and is forgotten.
                continue;
            };
            match &mut finished.lease {
                Some((token, until)) if *token == claim.token && now < *until => {
                    *until = now + lease;
                }
                _ if finished.handled => {}
                _ => void.push(claim.clone()),
            }
        }
        Ok(void)
    }

    async fn settle(&self, settled: &[Settled]) -> Result<(), BackendError> {
        let now = self.shared.timer.now();
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        for Settled { claim, verdict } in settled {
            let Some(finished) = held(state, claim) else {
                continue;
            };
            finished.lease = None;
            let number = finished.number;
            let namespace = finished.completion.namespace.clone();
            match verdict {
                Verdict::Handled => {
                    finished.handled = true;
                    state.unlist(&namespace, number);
                    state.forget(&claim.execution);
                }
                Verdict::Failed(pause) => {
                    finished.failures = finished.failures.saturating_add(1);
                    finished.paused = now + *pause;
                }
                Verdict::Dead(error) => {
                    finished.failures = finished.failures.saturating_add(1);
                    finished.error = Some(error.clone());
                    state.unlist(&namespace, number);
                    state.dead.insert(number, claim.execution.clone());
                }
                Verdict::Returned => {}
            }
        }
        Ok(())
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        // The place of another store is unknown here: the scan starts over.
        let from = scan
            .after
            .as_ref()
            .and_then(|place| self.shared.number(place).ok())
            .unwrap_or(0);
        let mut listed: Vec<_> = match scan.dead {
            true => state.dead.range(from..).collect(),
            false => {
                let listed = state.unhandled.values();
                listed.flat_map(|listed| listed.range(from..)).collect()
            }
        };
        listed.sort_unstable();
        let (mut completions, mut errors) = (Vec::new(), Vec::new());
        let mut next = None;
        for (&number, execution) in listed {
            if completions.len() == scan.most.max(1) {
                next = Some(self.shared.cursor(number));
                break;
            }
            let finished = state.executions.get(execution);
            let finished = finished.and_then(|record| record.finished.as_ref());
            let Some(finished) = finished else {
                continue;
            };
            completions.push(finished.completion.clone());
            let error = finished.error.clone();
            errors.extend(error.map(|error| (execution.clone(), error)));
        }
        Ok(Scanned::new(completions, next).with_errors(errors))
    }

    async fn replay(&self, executions: &[ExecutionId]) -> Result<u64, BackendError> {
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let mut count = 0;
        for id in executions {
            let record = state.executions.get_mut(id);
            let Some(finished) = record.and_then(|record| record.finished.as_mut()) else {
                continue;
            };
            let number = finished.number;
            if state.dead.remove(&number).is_some() {
                finished.failures = 0;
                finished.error = None;
                let namespace = finished.completion.namespace.clone();
                state.list(namespace, number, id.clone());
                count += 1;
            }
        }
        Ok(count)
    }
}

/// What tells a flow from every other.
type FlowName<'state> = (Option<&'state Namespace>, &'state FlowId);

fn flow(completion: &Completion) -> Option<FlowName<'_>> {
    Some((completion.namespace.as_ref(), completion.flow.as_ref()?))
}

/// What can be taken of each namespace, in its order, and whether one has more than that.
fn due(
    state: &StoreState,
    take: &Take,
    now: Instant,
) -> (BTreeMap<Option<Namespace>, VecDeque<ExecutionId>>, bool) {
    let finished = |id| state.executions.get(id)?.finished.as_ref();
    // The flows of which nothing can be taken, or nothing more.
    let touched = state.touched.iter().filter_map(finished);
    let mut ended: HashSet<FlowName<'_>> = touched
        .filter(|finished| !finished.is_free(now))
        .filter_map(|finished| flow(&finished.completion))
        .collect();
    let mut counts: HashMap<FlowName<'_>, usize> = HashMap::new();
    let mut found: BTreeMap<_, VecDeque<_>> = BTreeMap::new();
    let mut more = false;
    for (namespace, listed) in &state.unhandled {
        let ids: &mut VecDeque<_> = found.entry(namespace.clone()).or_default();
        for finished in listed.values().filter_map(finished) {
            let completion = &finished.completion;
            let flow = flow(completion);
            if flow.is_some_and(|flow| ended.contains(&flow)) || !finished.is_free(now) {
                continue;
            }
            if !take.filter.matches(completion) {
                ended.extend(flow);
                continue;
            }
            if ids.len() == take.most.max(1) {
                more = true;
                break;
            }
            if let Some(flow) = flow {
                let count = counts.entry(flow).or_default();
                if *count == take.of_a_flow.max(1) {
                    ended.insert(flow);
                    continue;
                }
                *count += 1;
            }
            ids.push_back(completion.execution.clone());
        }
    }
    (found, more)
}

/// One of each namespace after the other, beginning behind the one that had the last turn.
fn in_turns(
    mut found: BTreeMap<Option<Namespace>, VecDeque<ExecutionId>>,
    last: Option<&Option<Namespace>>,
) -> impl Iterator<Item = ExecutionId> + use<> {
    let mut behind = match last {
        Some(last) => found.split_off(last),
        None => BTreeMap::new(),
    };
    found.retain(|_, ids| !ids.is_empty());
    behind.retain(|_, ids| !ids.is_empty());
    let had_it = last.and_then(|last| behind.remove_entry(last));
    let mut turns: VecDeque<_> = behind.into_values().chain(found.into_values()).collect();
    turns.extend(had_it.map(|(_, ids)| ids));
    std::iter::from_fn(move || {
        let mut ids = turns.pop_front()?;
        let next = ids.pop_front();
        if !ids.is_empty() {
            turns.push_back(ids);
        }
        next
    })
}

impl FinishedExecution {
    /// Whether the execution is under no lease, and waits for no other try.
    fn is_free(&self, now: Instant) -> bool {
        self.lease.is_none_or(|(_, until)| until <= now) && self.paused <= now
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
