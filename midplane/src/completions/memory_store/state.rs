//! The state of the store under its lock.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::task::AtomicWaker;
use midplane_completions::{
    BackendError, BackendErrorKind, Completion, ErrorText, Execution, ExecutionId, Namespace,
    Timestamp,
};
use midplane_core::Instant;

/// A record of the history: a completion, or why it is none.
pub(super) type Recorded = Result<ExecutionId, String>;

/// Executions, history and connections.
pub(super) struct StoreState {
    pub(super) executions: HashMap<ExecutionId, ExecutionRecord>,
    /// Finished executions that are not handled, by their namespace and their place in the history.
    pub(super) unhandled: BTreeMap<Option<Namespace>, BTreeMap<u64, ExecutionId>>,
    /// Executions to handle that were claimed or failed, now or before.
    pub(super) touched: HashSet<ExecutionId>,
    /// Dead letters, by their place in the history.
    pub(super) dead: BTreeMap<u64, ExecutionId>,
    /// The namespace that was taken from last.
    pub(super) turn: Option<Option<Namespace>>,
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

/// How one execution ended, and whether that is handled.
pub(super) struct FinishedExecution {
    pub(super) completion: Completion,
    pub(super) number: u64,
    pub(super) handled: bool,
    pub(super) failures: u32,
    /// What the last attempt at a dead letter failed with.
    pub(super) error: Option<ErrorText>,
    /// No scan before this time.
    pub(super) paused: Instant,
    /// The token of the lease and when it ends.
    pub(super) lease: Option<(u64, Instant)>,
}

impl StoreState {
    pub(super) fn new(retention: usize) -> Self {
        Self {
            executions: HashMap::new(),
            unhandled: BTreeMap::new(),
            touched: HashSet::new(),
            dead: BTreeMap::new(),
            turn: None,
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

    /// Lists an execution that finished as one to handle.
    pub(super) fn list(&mut self, namespace: Option<Namespace>, number: u64, id: ExecutionId) {
        self.unhandled
            .entry(namespace)
            .or_default()
            .insert(number, id);
    }

    /// Lists an execution no more as one to handle.
    pub(super) fn unlist(&mut self, namespace: &Option<Namespace>, number: u64) {
        let Some(listed) = self.unhandled.get_mut(namespace) else {
            return;
        };
        if let Some(id) = listed.remove(&number) {
            self.touched.remove(&id);
        }
        if listed.is_empty() {
            self.unhandled.remove(namespace);
        }
    }

    /// Drops an execution that is handled and out of the history.
    pub(super) fn forget(&mut self, execution: &ExecutionId) {
        let first = self.first;
        let over = self
            .executions
            .get(execution)
            .and_then(|record| record.finished.as_ref())
            .is_some_and(|finished| finished.handled && finished.number < first);
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
