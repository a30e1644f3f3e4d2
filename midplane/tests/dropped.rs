//! A plane that is given up while it is being opened leaves nothing open, at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::executor::{ThreadPool, block_on};
use futures::future::{BoxFuture, pending};
use midplane::bus::{Bus, BusError, Limits, Link};
use midplane::{Builder, Instant, Memory, Runtime, Timer};
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::eventually;

/// A server that takes the connection and says nothing.
#[derive(Debug, Default)]
struct SilentBus {
    attempts: AtomicUsize,
}

#[async_trait]
impl Bus for SilentBus {
    fn limits(&self) -> Limits {
        Memory::new().limits()
    }

    fn prefix(&self) -> &str {
        "silent"
    }

    async fn connect(&self) -> Result<Link, BusError> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        pending().await
    }
}

/// Threads whose time passes by hand.
#[derive(Debug, Clone)]
struct ByHand {
    clock: VirtualClock,
    threads: ThreadPool,
}

impl Timer for ByHand {
    fn now(&self) -> Instant {
        Timer::now(&self.clock)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Timer::sleep(&self.clock, duration)
    }
}

impl Runtime for ByHand {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.threads.spawn_ok(task);
    }
}

#[test]
fn a_connect_that_is_dropped_leaves_nothing_open_and_takes_no_time() {
    let bus = Arc::new(SilentBus::default());
    let runtime = ByHand {
        clock: VirtualClock::default(),
        threads: ThreadPool::new().unwrap(),
    };
    let clock = runtime.clock.clone();
    let mut connect = Builder::bus(bus.clone()).runtime(runtime).connect().boxed();
    block_on(eventually("a link is being opened", || {
        assert!((&mut connect).now_or_never().is_none());
        // What finds out whether the runtime fits sleeps for a millisecond, from whenever a thread comes to it.
        clock.advance(clock.elapsed() + Duration::from_millis(1));
        bus.attempts.load(Ordering::SeqCst) > 0
    }));
    drop(connect);
    // The clock stands: nothing that waits for time would end.
    block_on(eventually("the driver has let go of the bus", || {
        Arc::strong_count(&bus) == 1
    }));
}
