//! An executor of one thread that does the same for the same seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use crate::clock::VirtualClock;
use crate::lock::locked;
use crate::random::{Draw, Random};

/// The number of polls at one instant that shows a task that spins.
const SPINNING: u32 = 100_000;

/// How far from the front of the queue a task may be taken.
const RANGE: u64 = 4;

/// Tasks, each of one process, and the clock they wait on. A clone is the same executor.
#[derive(Clone)]
pub struct Tasks {
    clock: VirtualClock,
    ready: Arc<Ready>,
    state: Arc<Mutex<TaskTable>>,
}

/// The owner of tasks, which run and stop together as those of a process do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId(pub u64);

struct TaskTable {
    random: Random,
    next: u64,
    all: BTreeMap<u64, Task>,
    stopped: BTreeSet<ProcessId>,
}

struct Task {
    process: ProcessId,
    /// Gone while it is being polled.
    future: Option<BoxFuture<'static, ()>>,
    alarm: Arc<Alarm>,
}

type Ready = Mutex<VecDeque<u64>>;

struct Alarm {
    task: u64,
    rung: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            locked(&self.ready).push_back(self.task);
        }
    }
}

impl Tasks {
    /// An executor without tasks, on this clock.
    #[must_use]
    pub fn new(clock: VirtualClock, random: Random) -> Self {
        Self {
            clock,
            ready: Arc::default(),
            state: Arc::new(Mutex::new(TaskTable {
                random,
                next: 0,
                all: BTreeMap::new(),
                stopped: BTreeSet::new(),
            })),
        }
    }

    /// Adds a task, to be polled soon.
    pub fn spawn(&self, process: ProcessId, future: impl Future<Output = ()> + Send + 'static) {
        let mut state = locked(&self.state);
        state.next += 1;
        let task = state.next;
        let alarm = Arc::new(Alarm {
            task,
            rung: AtomicBool::new(false),
            ready: self.ready.clone(),
        });
        let future = Some(future.boxed());
        state.all.insert(
            task,
            Task {
                process,
                future,
                alarm: alarm.clone(),
            },
        );
        drop(state);
        alarm.wake();
    }

    /// Drops the process's tasks where they stand.
    pub fn kill(&self, process: ProcessId) {
        let dropped: BTreeMap<u64, Task> = {
            let mut state = locked(&self.state);
            state.stopped.remove(&process);
            let all = std::mem::take(&mut state.all).into_iter();
            let (dropped, kept) = all.partition(|(_, task)| task.process == process);
            state.all = kept;
            dropped
        };
        drop(dropped);
    }

    /// Lets the process's tasks stand until [`go_on`](Self::go_on).
    pub fn stop(&self, process: ProcessId) {
        locked(&self.state).stopped.insert(process);
    }

    /// Undoes a [`stop`](Self::stop).
    pub fn go_on(&self, process: ProcessId) {
        locked(&self.state).stopped.remove(&process);
    }

    /// Runs everything until this moment.
    ///
    /// # Panics
    /// When tasks keep each other busy without letting time pass.
    pub fn run(&self, end: Duration) {
        loop {
            let mut polls = 0;
            while let Some(task) = self.next() {
                self.poll(task);
                polls += 1;
                assert!(polls < SPINNING, "tasks spin at {:?}", self.clock.elapsed());
            }
            if !self.clock.advance(end) {
                return;
            }
        }
    }

    /// A task that is ready and not stopped.
    fn next(&self) -> Option<u64> {
        let mut state = locked(&self.state);
        let mut ready = locked(&self.ready);
        let state = &mut *state;
        let runs = |id: &u64| {
            let task = state.all.get(id);
            task.is_none_or(|task| !state.stopped.contains(&task.process))
        };
        let candidates = ready.iter().enumerate().filter(|(_, id)| runs(id));
        let candidates: Vec<usize> = candidates
            .map(|(place, _)| place)
            .take(RANGE as usize)
            .collect();
        let place = *state.random.pick(&candidates)?;
        ready.remove(place)
    }

    fn poll(&self, id: u64) {
        let taken = locked(&self.state).all.get_mut(&id).and_then(|task| {
            let future = task.future.take()?;
            Some((future, task.alarm.clone()))
        });
        let Some((mut future, alarm)) = taken else {
            return;
        };
        alarm.rung.store(false, Ordering::Relaxed);
        let waker = Waker::from(alarm);
        let done = future
            .poll_unpin(&mut Context::from_waker(&waker))
            .is_ready();
        let mut state = locked(&self.state);
        // Killed meanwhile, it is dropped here, outside the lock.
        let task = if done {
            state.all.remove(&id)
        } else {
            if let Some(task) = state.all.get_mut(&id) {
                task.future = Some(future);
                return;
            }
            None
        };
        drop(state);
        drop(task);
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("clock", &self.clock)
            .field("tasks", &locked(&self.state).all.len())
            .finish_non_exhaustive()
    }
}
