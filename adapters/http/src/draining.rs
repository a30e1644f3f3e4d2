//! When a client is to be told that the server goes.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use midplane::{Plane, Timer};

/// Waits until the plane drains, and then for this client's share of the spread.
pub(crate) struct Draining {
    plane: Plane,
    timer: Arc<dyn Timer>,
    wait: BoxFuture<'static, ()>,
    begun: bool,
    /// The task that is woken when the plane drains.
    asked: Option<Waker>,
}

impl Draining {
    pub(crate) fn new(plane: Plane, timer: Arc<dyn Timer>) -> Self {
        Self {
            wait: plane.draining().boxed(),
            plane,
            timer,
            begun: false,
            asked: None,
        }
    }

    /// Ready once, and never polled again.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // All connections of a plane wait for one event behind one lock: a task that waits already does not ask again.
        if !self.begun && !self.plane.is_draining() {
            let waker = context.waker();
            if self
                .asked
                .as_ref()
                .is_some_and(|asked| asked.will_wake(waker))
            {
                return Poll::Pending;
            }
            self.asked = Some(waker.clone());
        }
        ready!(self.wait.poll_unpin(context));
        let spread = self.plane.spread();
        if self.begun || spread.is_zero() {
            return Poll::Ready(());
        }
        self.begun = true;
        self.wait = self.timer.sleep(share(spread));
        self.wait.poll_unpin(context)
    }
}

/// A part of the duration, another one for each call.
pub(crate) fn share(duration: Duration) -> Duration {
    // Every state of this hasher has keys of its own.
    let random = RandomState::new().hash_one(0);
    duration.mul_f64(f64::from((random >> 32) as u32) / f64::from(u32::MAX))
}
