//! The state of the store under its lock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::task::AtomicWaker;
use midplane_completions::{
    BackendError, BackendErrorKind, Completion, Execution, ExecutionId, GroupName, Timestamp,
};

use super::work::GroupWork;

/// A record of the history: a completion, or why it is none.
pub(super) type Recorded = Result<ExecutionId, String>;

/// Executions, history and connections.
pub(super) struct StoreState {
    pub(super) executions: HashMap<ExecutionId, ExecutionRecord>,
    /// What each group has not handled.
    pub(super) groups: BTreeMap<Option<GroupName>, GroupWork>,
    history: VecDeque<Recorded>,
    /// The number of the oldest record that is kept.
    first: u64,
    retention: usize,
    connections: Vec<Arc<StoreConnection>>,
    pub(super) tokens: u64,
    pub(super) blocked: bool,
}

/// One execution.
pub(super) struct ExecutionRecord {
    pub(super) execution: Execution,
    pub(super) finished: Option<FinishedExecution>,
}

/// How one execution ended.
pub(super) struct FinishedExecution {
    pub(super) completion: Completion,
    pub(super) number: u64,
}

impl StoreState {
    pub(super) fn new(retention: usize) -> Self {
        Self {
            executions: HashMap::new(),
            groups: BTreeMap::from([(None, GroupWork::default())]),
            history: VecDeque::new(),
            first: 0,
            retention,
            connections: Vec::new(),
            tokens: 0,
            blocked: false,
        }
    }

    /// The number of the oldest record, and the number that the next will have.
    pub(super) fn bounds(&self) -> (u64, u64) {
        (self.first, self.first + self.history.len() as u64)
    }

    /// The records from this number on, each with its own.
    pub(super) fn from(&self, number: u64) -> impl Iterator<Item = (u64, &Recorded)> {
        // The caller checks for numbers before the first; the history fits memory.
        let skipped = number.saturating_sub(self.first) as usize;
        (number..).zip(self.history.iter().skip(skipped))
    }

    pub(super) fn set_retention(&mut self, records: usize) {
        self.retention = records;
        self.trim(records);
    }

    /// Keeps this many records.
    pub(super) fn trim(&mut self, keep: usize) {
        while self.history.len() > keep {
            self.drop_oldest();
        }
    }

    /// Drops the oldest records, up to the first of a completion that was produced after this time.
    pub(super) fn prune(&mut self, oldest: Timestamp) {
        while let Some(record) = self.history.front() {
            let finished = record.as_ref().ok();
            let finished = finished.and_then(|id| self.executions.get(id)?.finished.as_ref());
            if finished.is_some_and(|finished| finished.completion.produced_at > oldest) {
                break;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(record) = self.history.pop_front() {
            self.first += 1;
            if let Ok(execution) = record {
                self.forget(&execution);
            }
        }
    }

    /// Adds a record, and gives the connections to wake once the lock is released.
    pub(super) fn append(&mut self, record: Recorded) -> Vec<Arc<StoreConnection>> {
        self.history.push_back(record);
        self.trim(self.retention);
        self.connections.clone()
    }

    /// Drops an execution that every group has handled and that is out of the history.
    pub(super) fn forget(&mut self, execution: &ExecutionId) {
        let first = self.first;
        let open = self.groups.values().any(|group| group.has(execution));
        let over = self
            .executions
            .get(execution)
            .and_then(|record| record.finished.as_ref())
            .is_some_and(|finished| !open && finished.number < first);
        if over {
            self.executions.remove(execution);
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// # Errors
    /// While the store is blocked.
    pub(super) fn join(&mut self, connection: Arc<StoreConnection>) -> Result<(), BackendError> {
        if self.blocked {
            return Err(BackendError::new(
                BackendErrorKind::Unreachable,
                "the memory store is blocked until `unblock` is called",
            ));
        }
        self.connections.push(connection);
        Ok(())
    }

    pub(super) fn leave(&mut self, connection: &Arc<StoreConnection>) {
        self.connections
            .retain(|other| !Arc::ptr_eq(other, connection));
    }

    pub(super) fn take_connections(&mut self) -> Vec<Arc<StoreConnection>> {
        std::mem::take(&mut self.connections)
    }
}

/// One connection of a backend.
#[derive(Debug, Default)]
pub(super) struct StoreConnection {
    pub(super) woken: AtomicBool,
    pub(super) dead: AtomicBool,
    pub(super) waker: AtomicWaker,
}

impl StoreConnection {
    pub(super) fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn end(&self) {
        self.dead.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// # Errors
    /// When the connection was cut.
    pub(super) fn check_alive(&self) -> Result<(), BackendError> {
        if self.dead.load(Ordering::Acquire) {
            return Err(BackendError::new(
                BackendErrorKind::Unreachable,
                "the connection to the memory store was cut",
            ));
        }
        Ok(())
    }
}
