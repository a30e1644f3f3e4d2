//! What must hold however threads interleave: run under shuttle, which chooses the schedule.
//!
//! The core takes its lock as a type, so shuttle's lock goes in by that seam and every lock operation
//! is a point where another thread may run; so is every step of the sinks here. A failure prints the
//! schedule that replays it.

mod attaching;
mod mailbox;

use midplane_core::{Host, Panicked};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

/// How many schedules each test sees: half of them random, half with few, well placed preemptions.
const SCHEDULES: usize = 4_000;

fn explore(test: impl Fn() + Send + Sync + Clone + 'static) {
    let config = Config::new();
    Runner::new(RandomScheduler::new(SCHEDULES / 2), config.clone()).run(test.clone());
    Runner::new(PctScheduler::new(3, SCHEDULES / 2), config).run(test);
}

/// A host whose lock and threads are shuttle's.
#[derive(Debug)]
struct Explored;

shuttle::thread_local! {
    static DEPTH: std::cell::Cell<usize> = std::cell::Cell::new(0);
}

impl Host for Explored {
    type Mutex = shuttle_parking_lot::RawMutex;

    fn contain(calls: &mut dyn FnMut()) -> Result<(), Panicked> {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        pause();
        calls();
        DEPTH.with(|depth| depth.set(depth.get() - 1));
        Ok(())
    }

    fn inside_sink() -> bool {
        DEPTH.with(|depth| depth.get() > 0)
    }
}

/// A point at which another thread may run.
fn pause() {
    shuttle::thread::yield_now();
}
