//! A future whose panic ends that future alone.

use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures::future::BoxFuture;

use midplane_core::{Host, Panicked};

/// Polls and drops the future where the host [contains](Host::contain) panics.
pub(super) struct Contained<H: Host, T> {
    /// `None` once the future is over.
    future: Option<BoxFuture<'static, T>>,
    host: PhantomData<fn() -> H>,
}

impl<H: Host, T> Contained<H, T> {
    pub(super) fn new(future: BoxFuture<'static, T>) -> Self {
        Self {
            future: Some(future),
            host: PhantomData,
        }
    }

    fn discard(&mut self) -> Result<(), Panicked> {
        let mut future = self.future.take();
        H::contain(&mut || drop(future.take()))
    }
}

impl<H: Host, T> Future for Contained<H, T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut polled = Poll::Pending;
        let contained = H::contain(&mut || {
            if let Some(future) = &mut self.future {
                polled = future.as_mut().poll(context);
            }
        });
        let over = match (contained, polled) {
            (Ok(()), Poll::Pending) => return Poll::Pending,
            (Ok(()), Poll::Ready(value)) => Ok(value),
            (Err(panicked), _) => Err(panicked),
        };
        // What panics while it is dropped has panicked.
        let discarded = self.discard();
        Poll::Ready(over.and_then(|value| discarded.map(|()| value)))
    }
}

impl<H: Host, T> Drop for Contained<H, T> {
    fn drop(&mut self) {
        // Nobody is left to report the panic to.
        let _ = self.discard();
    }
}
