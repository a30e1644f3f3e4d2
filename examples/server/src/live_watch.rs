//! Whether events of every node come, for the tasks that tell clients of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures::task::AtomicWaker;

/// Whether the backplane is live, as its notices said last, and the tasks to wake when that changes.
pub(crate) struct LiveWatch {
    live: AtomicBool,
    tasks: Mutex<WatchingTasks>,
}

#[derive(Default)]
struct WatchingTasks {
    next: u64,
    wakers: BTreeMap<u64, Arc<AtomicWaker>>,
}

impl LiveWatch {
    pub(crate) fn new(live: bool) -> Arc<Self> {
        Arc::new(Self {
            live: AtomicBool::new(live),
            tasks: Mutex::default(),
        })
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    /// Sets whether the backplane is live, and wakes every task that watches if that is a change.
    pub(crate) fn set(&self, live: bool) {
        if self.live.swap(live, Ordering::AcqRel) == live {
            return;
        }
        // Woken outside of the lock: a task that is woken may end, and its watcher with it.
        let wakers: Vec<_> = self.tasks().wakers.values().cloned().collect();
        wakers.iter().for_each(|waker| waker.wake());
    }

    /// A watcher for one task.
    pub(crate) fn watch(self: &Arc<Self>) -> LiveWatcher {
        let task = Arc::new(AtomicWaker::new());
        let mut tasks = self.tasks();
        let number = tasks.next;
        tasks.next += 1;
        tasks.wakers.insert(number, task.clone());
        LiveWatcher {
            watch: self.clone(),
            number,
            task,
        }
    }

    fn tasks(&self) -> MutexGuard<'_, WatchingTasks> {
        // The map is whole even if a thread panicked holding it.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task that is woken when the backplane becomes live or stops being so, until the watcher is dropped.
pub(crate) struct LiveWatcher {
    watch: Arc<LiveWatch>,
    number: u64,
    task: Arc<AtomicWaker>,
}

impl LiveWatcher {
    /// Whether the backplane is live; the task is woken when that changes.
    pub(crate) fn poll(&self, context: &Context<'_>) -> bool {
        self.task.register(context.waker());
        self.watch.is_live()
    }
}

impl Drop for LiveWatcher {
    fn drop(&mut self) {
        let left = self.watch.tasks().wakers.remove(&self.number);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_change_is_seen_by_those_who_watch_and_a_watcher_that_went_leaves_nothing() {
        let watch = LiveWatch::new(false);
        let watcher = watch.watch();
        let mut live = Box::pin(poll_fn(|context| match watcher.poll(context) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }));
        assert!(live.as_mut().now_or_never().is_none());
        watch.set(true);
        assert!(live.as_mut().now_or_never().is_some());
        drop(live);
        drop(watcher);
        assert!(watch.tasks().wakers.is_empty());
    }

    #[test]
    fn a_task_is_woken_by_a_change_alone() {
        let watch = LiveWatch::new(false);
        let (counter, count) = futures_count();
        let watcher = watch.watch();
        for (live, woken) in [(false, 0), (true, 1), (true, 1), (false, 2)] {
            watcher.poll(&Context::from_waker(&counter));
            watch.set(live);
            assert_eq!(count.load(Ordering::Relaxed), woken);
        }
    }

    fn futures_count() -> (std::task::Waker, Arc<std::sync::atomic::AtomicUsize>) {
        struct Counter(Arc<std::sync::atomic::AtomicUsize>);
        impl std::task::Wake for Counter {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::default();
        let counter = Arc::new(Counter(Arc::clone(&count)));
        (counter.into(), count)
    }
}
