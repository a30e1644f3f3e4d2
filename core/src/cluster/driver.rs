//! The future that the host spawns.

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures::future::BoxFuture;

use super::engine::Engine;
use crate::host::Host;

/// Moves everything between a [`Cluster`](super::Cluster) and its bus: connects, subscribes, sends, receives
/// and delivers, and connects again for as long as it takes.
///
/// Spawn it on the runtime that the bus and the timer were made for. It ends after
/// [`close`](crate::Backplane::close). Dropping it leaves the handles with local delivery alone: their
/// receipts say so, the state is [`State::Stopped`](crate::State::Stopped), and a notice tells it.
#[must_use = "nothing reaches other nodes unless the driver runs"]
pub struct Driver(BoxFuture<'static, ()>);

impl Driver {
    pub(super) fn new<H: Host>(engine: Engine<H>) -> Self {
        Self(Box::pin(engine))
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}
