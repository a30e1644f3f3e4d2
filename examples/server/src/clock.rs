//! Deadlines on the runtime's clock, ours and hyper's.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, Either, select};
use midplane::Timer;
use sync_wrapper::SyncWrapper;

/// What the future resolves to, if it does within `time`.
pub(crate) async fn within<F: Future>(
    timer: &dyn Timer,
    time: Duration,
    future: F,
) -> Option<F::Output> {
    match select(Box::pin(future), timer.sleep(time)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}

/// Lets hyper keep its deadlines by the runtime's clock.
#[derive(Clone)]
pub(crate) struct Clock(pub(crate) Arc<dyn Timer>);

impl hyper::rt::Timer for Clock {
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
