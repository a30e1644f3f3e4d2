//! Deadlines of hyper on the runtime's clock.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use midplane::Timer;
use sync_wrapper::SyncWrapper;

/// The runtime's clock, for hyper to keep its deadlines by.
#[derive(Clone)]
pub(crate) struct HyperTimer(pub(crate) Arc<dyn Timer>);

impl hyper::rt::Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(SyncWrapper::new(self.0.sleep(duration))))
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
