//! Tasks of one thread on a virtual clock.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use midplane_core::Timer;

use crate::clock::VirtualClock;

/// No run takes as long, by its clock.
const END: Duration = Duration::from_secs(1_000_000);

/// A clock and the tasks that wait on it, which need not be [`Send`]. Time passes when no task can run.
pub struct LocalTasks {
    pool: LocalPool,
    clock: VirtualClock,
}

impl LocalTasks {
    /// No tasks, on a clock of their own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pool: LocalPool::new(),
            clock: VirtualClock::default(),
        }
    }

    /// The clock of the tasks.
    #[must_use]
    pub fn clock(&self) -> VirtualClock {
        self.clock.clone()
    }

    /// The clock of the tasks as a runtime's.
    #[must_use]
    pub fn timer(&self) -> Arc<dyn Timer> {
        Arc::new(self.clock())
    }

    /// Adds a task.
    ///
    /// # Panics
    /// When the tasks have been shut down.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.pool.spawner().spawn_local(future).expect("a pool");
    }

    /// Lets all tasks run, and time pass, until the future is done.
    ///
    /// # Panics
    /// When the future waits for what no task and no time brings.
    pub fn run<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        self.spawn(async move {
            let value = future.await;
            *slot.borrow_mut() = Some(value);
        });
        loop {
            self.pool.run_until_stalled();
            if let Some(value) = result.borrow_mut().take() {
                return value;
            }
            assert!(self.clock.advance(END), "nothing can happen any more");
        }
    }

    /// Lets all tasks run for a time.
    pub fn pass(&mut self, duration: Duration) {
        self.run(self.clock.sleep(duration));
    }
}

impl Default for LocalTasks {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LocalTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalTasks")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
