//! Parts of a task that do not wake each other.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures::task::{ArcWake, AtomicWaker, waker};

/// How often a future that wakes itself is polled before others on the same executor get a turn.
const TURNS: usize = 16;

/// Runs a future that is polled when it was woken itself, and not each time that its task is polled. What it wakes of its own
/// goes on at once, for a while, and not behind all the tasks that it woke before.
pub(crate) async fn apart<T>(future: impl Future<Output = T>) -> T {
    run(Arc::new(Part::default()), future).await
}

async fn run<T>(part: Arc<Part>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let own = waker(part.clone());
    poll_fn(|context| {
        // Before the look: who wakes the future behind it finds the task. At each poll: one that woke the future a while ago may
        // take the task's waker only now.
        part.task.register(context.waker());
        if part.state.load(Ordering::Acquire) != WOKEN {
            return Poll::Pending;
        }
        for _ in 0..TURNS {
            part.state.store(POLLED, Ordering::Release);
            if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(&own)) {
                return Poll::Ready(outcome);
            }
            if part.rests() {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// The future waits for what wakes it.
const RESTS: u8 = 0;
/// The future is polled.
const POLLED: u8 = 1;
/// The future is to be polled, and its task knows.
const WOKEN: u8 = 2;

struct Part {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            state: AtomicU8::new(WOKEN),
            task: AtomicWaker::new(),
        }
    }
}

impl Part {
    /// Whether nothing woke the future while it was polled.
    fn rests(&self) -> bool {
        let woken = self
            .state
            .compare_exchange(POLLED, RESTS, Ordering::AcqRel, Ordering::Acquire);
        woken.is_ok()
    }
}

impl ArcWake for Part {
    fn wake_by_ref(part: &Arc<Self>) {
        // One that is polled at this moment is polled again by who polls it.
        if part.state.swap(WOKEN, Ordering::AcqRel) == RESTS {
            part.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::AtomicUsize;

    use futures::FutureExt;
    use futures::task::noop_waker_ref;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl ArcWake for Task {
        fn wake_by_ref(task: &Arc<Self>) {
            task.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_wakes_itself_goes_on_at_once_for_a_while() {
        let polls = Cell::new(0);
        let mut busy = Box::pin(apart(poll_fn(|context| {
            polls.set(polls.get() + 1);
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        })));
        let task = Arc::new(Task::default());
        for turn in 1..3 {
            let waker = waker(task.clone());
            assert!(
                busy.poll_unpin(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            assert_eq!(polls.get(), turn * TURNS);
            assert_eq!(task.0.load(Ordering::Relaxed), turn);
        }
    }

    #[test]
    fn what_sleeps_is_not_polled_and_wakes_the_task_that_polls_it_now() {
        let polls = Cell::new(0);
        let (sender, receiver) = futures::channel::oneshot::channel::<()>();
        let mut receiver = receiver;
        let mut asleep = Box::pin(apart(poll_fn(|context| {
            polls.set(polls.get() + 1);
            receiver.poll_unpin(context)
        })));
        let first = &mut Context::from_waker(noop_waker_ref());
        assert!(asleep.poll_unpin(first).is_pending());
        let task = Arc::new(Task::default());
        let waker = waker(task.clone());
        let second = &mut Context::from_waker(&waker);
        for _ in 0..3 {
            assert!(asleep.poll_unpin(second).is_pending());
        }
        assert_eq!(polls.get(), 1);
        sender.send(()).unwrap();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert!(asleep.poll_unpin(second).is_ready());
    }

    /// Who wakes the future says so first, and takes the waker of the task behind that: the task may have been polled between.
    #[test]
    fn a_wake_that_comes_in_two_steps_leaves_the_task_a_waker() {
        let part = Arc::new(Part::default());
        let mut asleep = Box::pin(run(part.clone(), poll_fn(|_| Poll::<()>::Pending)));
        let task = Arc::new(Task::default());
        let own = waker(task.clone());
        let context = &mut Context::from_waker(&own);
        assert!(asleep.poll_unpin(context).is_pending());
        assert_eq!(part.state.swap(WOKEN, Ordering::AcqRel), RESTS);
        assert!(asleep.poll_unpin(context).is_pending());
        part.task.wake();
        assert!(asleep.poll_unpin(context).is_pending());
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        Part::wake_by_ref(&part);
        assert_eq!(task.0.load(Ordering::Relaxed), 2);
    }
}
