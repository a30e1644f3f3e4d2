//! Time that passes when nothing else can happen.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::executor::LocalPool;
use futures::future::BoxFuture;
use futures::task::LocalSpawnExt;
use midplane_core::{Instant, Timer};

/// No test takes as long, by its clock.
const END: Instant = Instant::from_origin(Duration::from_secs(1_000_000));

/// A clock that stands still until everybody waits for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    now: Instant,
    count: u64,
    sleepers: BTreeMap<(Instant, u64), Option<Waker>>,
}

impl Timer for Clock {
    fn now(&self) -> Instant {
        self.0.lock().unwrap().now
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.0.lock().unwrap();
        state.count += 1;
        let key = (state.now + duration, state.count);
        state.sleepers.insert(key, None);
        drop(state);
        let sleeper = Sleeper(self.clone(), key);
        poll_fn(move |context| {
            let Sleeper(clock, key) = &sleeper;
            let mut state = clock.0.lock().unwrap();
            if key.0 <= state.now {
                return Poll::Ready(());
            }
            let _replaced = state.sleepers.insert(*key, Some(context.waker().clone()));
            Poll::Pending
        })
        .boxed()
    }
}

struct Sleeper(Clock, (Instant, u64));

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _removed = self.0.0.lock().unwrap().sleepers.remove(&self.1);
    }
}

impl Clock {
    /// Goes to the next time that anybody waits for.
    fn advance(&self) -> bool {
        let mut state = self.0.lock().unwrap();
        let Some((&(time, _), _)) = state.sleepers.range((state.now, u64::MAX)..).next() else {
            return false;
        };
        state.now = time;
        let due: Vec<Waker> = state
            .sleepers
            .range_mut(..=(time, u64::MAX))
            .filter_map(|(_, waker)| waker.take())
            .collect();
        drop(state);
        due.into_iter().for_each(Waker::wake);
        true
    }
}

/// A clock and the tasks that live by it.
pub(crate) struct World {
    pool: LocalPool,
    pub(crate) clock: Clock,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            pool: LocalPool::new(),
            clock: Clock::default(),
        }
    }

    pub(crate) fn timer(&self) -> Arc<dyn Timer> {
        Arc::new(self.clock.clone())
    }

    /// Lets everything run, and time pass, until the future is done.
    pub(crate) fn run<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let place = Rc::clone(&result);
        self.spawn(async move {
            let value = future.await;
            *place.borrow_mut() = Some(value);
        });
        loop {
            self.pool.run_until_stalled();
            if let Some(value) = result.borrow_mut().take() {
                return value;
            }
            assert!(self.clock.advance(), "nothing can happen any more");
            assert!(self.clock.now() < END, "it does not end");
        }
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.pool.spawner().spawn_local(future).unwrap();
    }

    /// Lets everything run for so long.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let sleep = self.clock.sleep(duration);
        self.run(sleep);
    }
}
