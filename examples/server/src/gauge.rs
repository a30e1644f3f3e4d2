//! How many of something are open, up to a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures::future::poll_fn;
use futures::task::AtomicWaker;

/// Counts what is open, up to a limit. One task waits at a time.
pub(crate) struct Gauge {
    limit: usize,
    open: AtomicUsize,
    waiting: AtomicWaker,
}

impl Gauge {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            open: AtomicUsize::new(0),
            waiting: AtomicWaker::new(),
        })
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// A permit, if there is one left.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |open| {
                (open < self.limit).then(|| open + 1)
            })
            .ok()
            .map(|_| Permit(self.clone()))
    }

    /// Waits until nothing is open.
    pub(crate) async fn emptied(&self) {
        poll_fn(|context| {
            // Looked at after the waker stands, for a permit that was dropped in between wakes nobody.
            self.waiting.register(context.waker());
            match self.open.load(Ordering::Acquire) {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }
}

/// One of what a [`Gauge`] counts, until it is dropped.
pub(crate) struct Permit(Arc<Gauge>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.waiting.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_gauge_gives_as_many_permits_as_its_limit() {
        let gauge = Gauge::new(2);
        let (first, second) = (gauge.try_acquire(), gauge.try_acquire());
        assert!(first.is_some() && second.is_some() && gauge.try_acquire().is_none());
        drop(first);
        let third = gauge.try_acquire();
        assert!(third.is_some() && gauge.emptied().now_or_never().is_none());
        drop((second, third));
        assert!(gauge.emptied().now_or_never().is_some());
    }
}
