//! The events that arrived at a subscriber.

use std::hint::spin_loop;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::failed;

/// How long an event may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counts events, for the thread that made this value and waits for them.
#[derive(Debug)]
pub(crate) struct Arrivals {
    count: AtomicU64,
    /// The count that the thread waits for, and when it was reached.
    wanted: AtomicU64,
    reached: AtomicU64,
    waiter: Thread,
}

impl Arrivals {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            reached: AtomicU64::new(0),
            waiter: thread::current(),
        }
    }

    /// Counts this many events more.
    pub(crate) fn add(&self, more: u64) {
        let before = self.count.fetch_add(more, Ordering::SeqCst);
        let wanted = self.wanted.load(Ordering::SeqCst);
        if before < wanted && wanted <= before + more {
            self.reached.store(nanoseconds(), Ordering::SeqCst);
            self.waiter.unpark();
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Sets the count that [`wait`](Self::wait) waits for.
    pub(crate) fn want(&self, count: u64) {
        self.wanted.store(count, Ordering::SeqCst);
    }

    /// Waits until the wanted count is reached.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let wanted = self.wanted.load(Ordering::SeqCst);
        let start = Instant::now();
        while self.count() < wanted {
            thread::park_timeout(PATIENCE / 20);
            if start.elapsed() > PATIENCE {
                let missing = wanted - self.count();
                return Err(failed(format!("{missing} events did not arrive")));
            }
        }
        Ok(())
    }

    /// When the wanted count was reached, in [`nanoseconds`], if that was at this time or later. The time is
    /// stored just after the count that ends [`wait`](Self::wait).
    pub(crate) fn reached_since(&self, time: u64) -> u64 {
        loop {
            let reached = self.reached.load(Ordering::SeqCst);
            if reached >= time {
                return reached;
            }
            spin_loop();
        }
    }
}

/// Nanoseconds since the first call of this function.
pub(super) fn nanoseconds() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
