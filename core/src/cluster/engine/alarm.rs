//! The one sleep of the driver.

use alloc::sync::Arc;
use core::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};

use crate::time::{Instant, Timer};

/// Wakes the driver when the next thing is due.
pub(super) struct Alarm {
    timer: Arc<dyn Timer>,
    sleep: Option<(Instant, BoxFuture<'static, ()>)>,
}

impl Alarm {
    pub(super) fn new(timer: Arc<dyn Timer>) -> Self {
        Self { timer, sleep: None }
    }

    /// Sleeps until `due`; ready if `due` has passed. A sleep that ends early does no harm.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        due: Instant,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if self.sleep.as_ref().is_none_or(|(at, _)| due < *at) {
            self.sleep = Some((due, self.timer.sleep(due - now)));
        }
        let Some((_, sleep)) = &mut self.sleep else {
            return Poll::Pending;
        };
        let rung = sleep.poll_unpin(context);
        if rung.is_ready() {
            self.sleep = None;
        }
        rung
    }
}
