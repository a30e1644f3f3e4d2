//! Starting and finishing executions.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use midplane_completions::{
    Change, Completion, Execution, ExecutionId, Outcome, ProduceError, Producer,
};

use super::state::{ExecutionRecord, FinishedExecution, StoreConnection, StoreState};
use super::{MemoryStore, SharedStore, now};

#[async_trait]
impl Producer for MemoryStore {
    async fn start(&self, execution: &Execution) -> Result<Change, ProduceError> {
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        match state.executions.get(&execution.id) {
            None => {}
            Some(record) => match &record.finished {
                None => return Ok(Change::AlreadySo),
                Some(finished) => {
                    return Err(ProduceError::Illegal {
                        execution: execution.id.clone(),
                        finished: finished.completion.outcome.clone(),
                        asked: "started".into(),
                    });
                }
            },
        }
        let record = ExecutionRecord {
            execution: execution.clone(),
            finished: None,
        };
        state.executions.insert(execution.id.clone(), record);
        Ok(Change::Made)
    }

    async fn finish(
        &self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<Change, ProduceError> {
        let (change, woken) = {
            let mut guard = self.shared.state.lock();
            let state = &mut *guard;
            let change = check(state, execution, outcome, bytes.as_ref())?;
            let woken = match change {
                Change::Made => self.shared.finish(state, execution, outcome, bytes),
                Change::AlreadySo => Vec::new(),
            };
            (change, woken)
        };
        woken.iter().for_each(|connection| connection.wake());
        Ok(change)
    }
}

/// Executions that finish together or not at all: what a program's own transaction is on a database.
/// Dropping the transaction rolls it back.
#[derive(Debug)]
pub struct MemoryTransaction {
    store: MemoryStore,
    finished: Vec<(ExecutionId, Outcome, Option<Bytes>)>,
}

impl MemoryStore {
    /// Begins a transaction. Nothing of it is visible before it commits.
    #[must_use]
    pub fn begin(&self) -> MemoryTransaction {
        MemoryTransaction {
            store: self.clone(),
            finished: Vec::new(),
        }
    }
}

impl MemoryTransaction {
    /// Finishes an execution inside the transaction.
    ///
    /// # Errors
    /// The errors of [`Producer::finish`]; the transaction continues without this execution.
    pub fn finish(
        &mut self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<(), ProduceError> {
        let state = self.store.shared.state.lock();
        check(&state, execution, outcome, bytes.as_ref())?;
        self.finished
            .push((execution.clone(), outcome.clone(), bytes));
        Ok(())
    }

    /// Finishes all executions in one step.
    ///
    /// # Errors
    /// When one of the executions finished otherwise meanwhile. Nothing was changed.
    pub fn commit(self) -> Result<(), ProduceError> {
        let mut woken = Vec::new();
        {
            let mut guard = self.store.shared.state.lock();
            let state = &mut *guard;
            for (execution, outcome, bytes) in &self.finished {
                check(state, execution, outcome, bytes.as_ref())?;
            }
            for (execution, outcome, bytes) in self.finished {
                // One that the transaction finished twice is finished by now.
                if check(state, &execution, &outcome, bytes.as_ref())? == Change::Made {
                    woken = self.store.shared.finish(state, &execution, &outcome, bytes);
                }
            }
        }
        woken.iter().for_each(|connection| connection.wake());
        Ok(())
    }
}

/// Whether the execution may finish so.
fn check(
    state: &StoreState,
    execution: &ExecutionId,
    outcome: &Outcome,
    bytes: Option<&Bytes>,
) -> Result<Change, ProduceError> {
    if !Outcome::KNOWN.contains(outcome) {
        let why = format!("an execution cannot be finished with the unknown outcome {outcome}");
        return Err(ProduceError::Unfit(why));
    }
    let Some(record) = state.executions.get(execution) else {
        return Err(ProduceError::Unknown(execution.clone()));
    };
    match &record.finished {
        None => Ok(Change::Made),
        Some(finished)
            if finished.completion.outcome == *outcome
                && finished.completion.bytes.as_ref() == bytes =>
        {
            Ok(Change::AlreadySo)
        }
        Some(finished) => Err(ProduceError::Illegal {
            execution: execution.clone(),
            finished: finished.completion.outcome.clone(),
            asked: outcome.as_str().to_owned(),
        }),
    }
}

impl SharedStore {
    /// Finishes an execution that may finish so, and gives the connections to wake.
    fn finish(
        &self,
        state: &mut StoreState,
        id: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Vec<Arc<StoreConnection>> {
        let number = state.bounds().1;
        let Some(record) = state.executions.get_mut(id) else {
            return Vec::new();
        };
        let execution = &record.execution;
        let mut completion = Completion::new(id.clone(), outcome.clone(), now())
            .with_cursor(self.cursor(number + 1));
        completion.bytes = bytes;
        completion.flow.clone_from(&execution.flow);
        completion.namespace.clone_from(&execution.namespace);
        completion.tag.clone_from(&execution.tag);
        for group in state.groups.values_mut() {
            group.list(&completion, number);
        }
        record.finished = Some(FinishedExecution { completion, number });
        state.append(Ok(id.clone()))
    }
}
