//! How a plane says goodbye: readiness first, then the draining, then a wait for last words.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::Shared;
use parking_lot::Mutex;

/// Keeps a plane from closing until it is dropped, within the deadline of the close: see
/// [`Plane::hold`](crate::Plane::hold).
#[derive(Debug, Clone)]
#[must_use = "dropping it lets the plane close"]
pub struct Hold(#[expect(dead_code, reason = "it is held, not read")] Option<Arc<Held>>);

/// What every hold shares: dropped with the last of them.
#[derive(Debug)]
struct Held(#[expect(dead_code, reason = "its drop is what is waited for")] oneshot::Sender<()>);

type Ended = Shared<oneshot::Receiver<()>>;

/// Whether a plane is draining, who waits for that, and who is waited for.
#[derive(Debug)]
pub(crate) struct Drain {
    unready: AtomicBool,
    begun: AtomicBool,
    /// Within which time clients are told, in milliseconds.
    spread: AtomicU64,
    /// Dropped when the draining begins.
    serving: Mutex<Option<oneshot::Sender<()>>>,
    draining: Ended,
    /// Taken when the close begins: nothing that begins later is waited for.
    holds: Mutex<Option<Arc<Held>>>,
    released: Ended,
}

impl Drain {
    pub(crate) fn new() -> Self {
        let (serving, draining) = oneshot::channel();
        let (held, released) = oneshot::channel();
        Self {
            unready: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            spread: AtomicU64::new(0),
            serving: Mutex::new(Some(serving)),
            draining: draining.shared(),
            holds: Mutex::new(Some(Arc::new(Held(held)))),
            released: released.shared(),
        }
    }

    pub(crate) fn unready(&self) {
        self.unready.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_unready(&self) -> bool {
        self.unready.load(Ordering::Relaxed)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    pub(crate) fn spread(&self) -> Duration {
        Duration::from_millis(self.spread.load(Ordering::Relaxed))
    }

    /// Begins to drain, if that has not begun. Only then does the spread count.
    pub(crate) fn drain(&self, spread: Duration) {
        self.unready();
        let serving = self.serving.lock().take();
        if serving.is_some() {
            let millis = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
            self.spread.store(millis, Ordering::Relaxed);
        }
        // Before those who wait are woken: they look at this first.
        self.begun.store(true, Ordering::Release);
        drop(serving);
    }

    pub(crate) fn draining(&self) -> impl Future<Output = ()> + Send + Unpin + use<> {
        self.draining.clone().map(drop)
    }

    pub(crate) fn hold(&self) -> Hold {
        Hold(self.holds.lock().clone())
    }

    /// Takes no more holds, and resolves when the last of those before is dropped.
    pub(crate) fn released(&self) -> impl Future<Output = ()> + Send + Unpin + use<> {
        drop(self.holds.lock().take());
        self.released.clone().map(drop)
    }
}
