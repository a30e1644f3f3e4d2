//! What has arrived at the far end.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::clock::nanoseconds;
use super::failed;

/// How long anything may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counts what arrives, for the thread that made this and waits for it.
#[derive(Debug)]
pub(crate) struct Arrivals {
    count: AtomicU64,
    /// How many the thread waits for, and when that many had come.
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

    /// So many more have come.
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

    /// What [`wait`](Self::wait) waits for.
    pub(crate) fn want(&self, count: u64) {
        self.wanted.store(count, Ordering::SeqCst);
    }

    /// Waits until as many have come as are wanted.
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

    /// When the last of what was wanted came; it was wanted before it came.
    pub(crate) fn reached(&self) -> u64 {
        self.reached.load(Ordering::SeqCst)
    }
}
