//! What one group has not handled.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use midplane_completions::{Completion, ErrorText, ExecutionId, Namespace};
use midplane_core::Instant;

/// The work of one group. An execution that has no work here is handled by the group, or was never the group's.
#[derive(Default)]
pub(super) struct GroupWork {
    pub(super) keep: Option<Duration>,
    pub(super) work: HashMap<ExecutionId, Work>,
    /// Executions to handle, by their namespace and their place in the history.
    pub(super) unhandled: BTreeMap<Option<Namespace>, BTreeMap<u64, ExecutionId>>,
    /// Executions to handle that were claimed or failed, now or before.
    pub(super) touched: HashSet<ExecutionId>,
    /// Dead letters, by their place in the history.
    pub(super) dead: BTreeMap<u64, ExecutionId>,
    /// The namespace that was taken from last.
    pub(super) turn: Option<Option<Namespace>>,
}

/// The work on one execution.
#[derive(Default)]
pub(super) struct Work {
    pub(super) number: u64,
    pub(super) namespace: Option<Namespace>,
    pub(super) failures: u32,
    /// What the last attempt at a dead letter failed with.
    pub(super) error: Option<ErrorText>,
    /// No look before this time.
    pub(super) paused: Instant,
    /// The token of the lease and when it ends.
    pub(super) lease: Option<(u64, Instant)>,
}

impl Work {
    /// Whether the execution is under no lease, and waits for no other try.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.lease.is_none_or(|(_, until)| until <= now) && self.paused <= now
    }
}

impl GroupWork {
    /// Whether the group has the execution to handle, or as a dead letter.
    pub(super) fn has(&self, execution: &ExecutionId) -> bool {
        self.work.contains_key(execution)
    }

    /// Lists an execution that finished as one to handle.
    pub(super) fn list(&mut self, completion: &Completion, number: u64) {
        let execution = completion.execution.clone();
        let work = Work {
            number,
            namespace: completion.namespace.clone(),
            ..Work::default()
        };
        self.place(work.namespace.clone(), number, execution.clone());
        self.work.insert(execution, work);
    }

    fn place(&mut self, namespace: Option<Namespace>, number: u64, execution: ExecutionId) {
        let listed = self.unhandled.entry(namespace).or_default();
        listed.insert(number, execution);
    }

    fn displace(&mut self, namespace: &Option<Namespace>, number: u64) {
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

    /// Lists an execution no more.
    pub(super) fn unlist(&mut self, execution: &ExecutionId) {
        if let Some(work) = self.work.remove(execution) {
            self.displace(&work.namespace, work.number);
            self.dead.remove(&work.number);
        }
    }

    /// Makes an execution to handle a dead letter.
    pub(super) fn bury(&mut self, execution: &ExecutionId, error: ErrorText) {
        let Some(work) = self.work.get_mut(execution) else {
            return;
        };
        work.error = Some(error);
        let (namespace, number) = (work.namespace.clone(), work.number);
        self.displace(&namespace, number);
        self.dead.insert(number, execution.clone());
    }

    /// Makes a dead letter an execution to handle again, and says whether it was one.
    pub(super) fn replay(&mut self, execution: &ExecutionId) -> bool {
        let Some(work) = self.work.get_mut(execution) else {
            return false;
        };
        let number = work.number;
        if self.dead.remove(&number).is_none() {
            return false;
        }
        work.failures = 0;
        work.error = None;
        let namespace = work.namespace.clone();
        self.place(namespace, number, execution.clone());
        true
    }
}
