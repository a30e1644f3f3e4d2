//! Deadlines of hyper on the runtime's clock.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use midplane::Timer;
use sync_wrapper::SyncWrapper;

/// The runtime's clock, for hyper to keep the deadline of a request's head by. Once a request was answered, the next has
/// the time longer for which the connection is kept.
#[derive(Clone)]
pub(crate) struct HeadTimer {
    pub(crate) timer: Arc<dyn Timer>,
    /// What the time for which a connection is kept is more than that of a first head.
    pub(crate) longer: Duration,
    /// Whether the connection has been asked for anything.
    pub(crate) used: Arc<AtomicBool>,
}

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let longer = match self.used.load(Ordering::Relaxed) {
            true => self.longer,
            false => Duration::ZERO,
        };
        Box::pin(Sleep(SyncWrapper::new(self.timer.sleep(duration + longer))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

/// hyper asks that a sleep is `Sync`; one that is only ever polled by `&mut` can say so.
struct Sleep(SyncWrapper<BoxFuture<'static, ()>>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().as_mut().poll(context)
    }
}

impl hyper::rt::Sleep for Sleep {}
