//! The ledger of a group.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use midplane_completions::{
    BackendError, Claim, Completion, ExecutionId, FlowId, Ledger, Namespace, Scan, Scanned,
    Settled, Take, Taken, Verdict,
};
use midplane_core::Instant;

use super::MemoryStore;
use super::groups::no_group;
use super::state::{ExecutionRecord, FinishedExecution};
use super::work::{GroupWork, Work};

#[async_trait]
impl Ledger for MemoryStore {
    async fn take(&self, take: &Take, lease: Duration) -> Result<Taken, BackendError> {
        let now = self.shared.timer.now();
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let group = state.groups.get_mut(&self.group);
        let group = group.ok_or_else(|| no_group(&self.group))?;
        let most = take.most.max(1);
        let (found, mut more) = due(&state.executions, group, take, now);
        let mut taken = Vec::new();
        for id in in_turns(found, group.turn.as_ref()).collect::<Vec<_>>() {
            if taken.len() == most {
                more = true;
                break;
            }
            let token = state.tokens + 1;
            let finished = finished(&state.executions, &id);
            let Some((finished, work)) = finished.zip(group.work.get_mut(&id)) else {
                continue;
            };
            work.lease = Some((token, now + lease));
            let claim = Claim::new(id, token, work.failures);
            state.tokens = token;
            group.turn = Some(work.namespace.clone());
            group.touched.insert(claim.execution.clone());
            taken.push((finished.completion.clone(), claim));
        }
        Ok(Taken::new(taken, more))
    }

    async fn renew(&self, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>, BackendError> {
        let now = self.shared.timer.now();
        let mut state = self.shared.state.lock();
        let group = state.group(&self.group)?;
        let mut void = Vec::new();
        for claim in claims {
            let Some(work) = group.work.get_mut(&claim.execution) else {
                // It was handled.
                continue;
            };
            match &mut work.lease {
                Some((token, until)) if *token == claim.token && now < *until => {
                    *until = now + lease;
                }
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
            let group = state.group(&self.group)?;
            let Some(work) = held(group, claim) else {
                continue;
            };
            work.lease = None;
            match verdict {
                Verdict::Handled => {
                    group.unlist(&claim.execution);
                    state.forget(&claim.execution);
                }
                Verdict::Failed(pause) => {
                    work.failures = work.failures.saturating_add(1);
                    work.paused = now + *pause;
                }
                Verdict::Dead(error) => {
                    work.failures = work.failures.saturating_add(1);
                    group.bury(&claim.execution, error.clone());
                }
                Verdict::Returned => {}
            }
        }
        Ok(())
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        let state = self.shared.state.lock();
        // The place of another store is unknown here: the scan starts over.
        let from = scan
            .after
            .as_ref()
            .and_then(|place| self.shared.number(place).ok())
            .unwrap_or(0);
        let group = state.groups.get(&self.group);
        let group = group.ok_or_else(|| no_group(&self.group))?;
        let mut listed: Vec<_> = match scan.dead {
            true => group.dead.range(from..).collect(),
            false => {
                let listed = group.unhandled.values();
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
            let finished = finished(&state.executions, execution);
            let Some((finished, work)) = finished.zip(group.work.get(execution)) else {
                continue;
            };
            completions.push(finished.completion.clone());
            let error = work.error.clone();
            errors.extend(error.map(|error| (execution.clone(), error)));
        }
        Ok(Scanned::new(completions, next).with_errors(errors))
    }

    async fn replay(&self, executions: &[ExecutionId]) -> Result<u64, BackendError> {
        let mut state = self.shared.state.lock();
        let group = state.group(&self.group)?;
        let replayed = executions.iter().filter(|id| group.replay(id));
        Ok(replayed.count() as u64)
    }
}

pub(super) fn finished<'state>(
    executions: &'state HashMap<ExecutionId, ExecutionRecord>,
    execution: &ExecutionId,
) -> Option<&'state FinishedExecution> {
    executions.get(execution)?.finished.as_ref()
}

/// What tells a flow from every other.
type FlowName<'state> = (Option<&'state Namespace>, &'state FlowId);

fn flow(completion: &Completion) -> Option<FlowName<'_>> {
    Some((completion.namespace.as_ref(), completion.flow.as_ref()?))
}

/// What can be taken of each namespace, in its order, and whether one has more than that.
fn due(
    executions: &HashMap<ExecutionId, ExecutionRecord>,
    group: &GroupWork,
    take: &Take,
    now: Instant,
) -> (BTreeMap<Option<Namespace>, VecDeque<ExecutionId>>, bool) {
    let found_work = |id| Some((&finished(executions, id)?.completion, group.work.get(id)?));
    // The flows of which nothing can be taken, or nothing more.
    let touched = group.touched.iter().filter_map(found_work);
    let mut ended: HashSet<FlowName<'_>> = touched
        .filter(|(_, work)| !work.is_free(now))
        .filter_map(|(completion, _)| flow(completion))
        .collect();
    let mut counts: HashMap<FlowName<'_>, usize> = HashMap::new();
    let mut found: BTreeMap<_, VecDeque<_>> = BTreeMap::new();
    let mut more = false;
    for (namespace, listed) in &group.unhandled {
        let ids: &mut VecDeque<_> = found.entry(namespace.clone()).or_default();
        for (completion, work) in listed.values().filter_map(found_work) {
            let flow = flow(completion);
            if flow.is_some_and(|flow| ended.contains(&flow)) || !work.is_free(now) {
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

/// The work of the claim, unless the execution was claimed by another since.
fn held<'state>(group: &'state mut GroupWork, claim: &Claim) -> Option<&'state mut Work> {
    let work = group.work.get_mut(&claim.execution)?;
    work.lease
        .is_some_and(|(token, _)| token == claim.token)
        .then_some(work)
}
