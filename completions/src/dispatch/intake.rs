//! Completions that arrived, from the stream or a walk, and are not claimed.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hashbrown::HashSet;

use super::job::Job;
use super::window::Window;
use crate::payload::{Completion, ExecutionId};

/// The queues before the claim, and what tells a repeated completion.
pub(super) struct Intake {
    /// From the stream.
    arrived: VecDeque<Job>,
    /// From the ledger.
    found: VecDeque<Job>,
    /// Every execution between its arrival and the end of its handler.
    busy: HashSet<ExecutionId>,
    window: Window,
}

/// What became of a completion at its arrival.
pub(super) struct Admission {
    /// The execution is in work, or was handled by this listener before.
    pub(super) repeated: bool,
    /// The completion waits for its claim now.
    pub(super) queued: bool,
}

impl Intake {
    /// An intake that remembers the last `window` handled executions.
    pub(super) fn new(window: usize) -> Self {
        Self {
            arrived: VecDeque::new(),
            found: VecDeque::new(),
            busy: HashSet::new(),
            window: Window::new(window),
        }
    }

    /// How many completions of the stream wait.
    pub(super) fn arrived(&self) -> usize {
        self.arrived.len()
    }

    /// How many completions of a walk wait.
    pub(super) fn found(&self) -> usize {
        self.found.len()
    }

    /// Takes a completion in, unless its execution is in work or was handled before. A walk that finds a
    /// handled execution takes it in nevertheless, since the record in the ledger is missing.
    pub(super) fn admit(&mut self, completion: Completion, walked: bool) -> Admission {
        let known = self.window.contains(&completion.execution);
        let busy = self.busy.contains(&completion.execution);
        let repeated = known || busy;
        if busy || (known && !walked) {
            return Admission {
                repeated,
                queued: false,
            };
        }
        self.busy.insert(completion.execution.clone());
        let job = Job {
            completion,
            walked,
            known,
        };
        let queue = if walked {
            &mut self.found
        } else {
            &mut self.arrived
        };
        queue.push_back(job);
        Admission {
            repeated,
            queued: true,
        }
    }

    /// Takes up to `most` jobs to claim, in turns from the stream and the ledger.
    pub(super) fn next_jobs(&mut self, most: usize) -> Vec<Job> {
        let mut jobs = Vec::new();
        while jobs.len() < most {
            let before = jobs.len();
            jobs.extend(self.arrived.pop_front());
            if jobs.len() < most {
                jobs.extend(self.found.pop_front());
            }
            if jobs.len() == before {
                break;
            }
        }
        jobs
    }

    /// Lets the execution arrive again.
    pub(super) fn forget(&mut self, execution: &ExecutionId) {
        self.busy.remove(execution);
    }

    /// Remembers the execution as handled.
    pub(super) fn handled(&mut self, execution: &ExecutionId) {
        self.window.insert(execution);
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        self.arrived.clear();
        self.found.clear();
    }
}
