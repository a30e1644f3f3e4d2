//! One open link with the bus, as the driver polls it: what arrives, and the one job it does.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt};

use crate::bus::{BusError, Inbound, Lane, Link, Outbound, Transmit};
use crate::time::Instant;

/// What a link does, one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    Subscribe(Vec<Lane>),
    Unsubscribe(Vec<Lane>),
    Send(Arc<Vec<Outbound>>),
    Close,
}

type Worked = (Box<dyn Transmit>, Result<(), BusError>);

pub(super) struct PolledLink {
    frames: BoxStream<'static, Result<Inbound, BusError>>,
    transmit: Option<Box<dyn Transmit>>,
    work: Option<(Job, Instant, BoxFuture<'static, Worked>)>,
}

impl PolledLink {
    pub(super) fn new(link: Link) -> Self {
        Self {
            frames: link.frames,
            transmit: Some(link.transmit),
            work: None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.transmit.is_some()
    }

    /// Begins the job, to be done by `until`. Only for an idle link.
    pub(super) fn start(&mut self, job: Job, until: Instant) {
        let Some(mut transmit) = self.transmit.take() else {
            return;
        };
        let doing = job.clone();
        let work = async move {
            let outcome = match &doing {
                Job::Subscribe(lanes) => transmit.subscribe(lanes).await,
                Job::Unsubscribe(lanes) => transmit.unsubscribe(lanes).await,
                Job::Send(frames) => transmit.send(frames).await,
                Job::Close => transmit.close().await,
            };
            (transmit, outcome)
        };
        self.work = Some((job, until, work.boxed()));
    }

    /// Until when the job is to be done.
    pub(super) fn until(&self) -> Option<Instant> {
        self.work.as_ref().map(|(_, until, _)| *until)
    }

    /// The job that is done, and its outcome.
    pub(super) fn poll_work(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<(Job, Result<(), BusError>)> {
        let Some((_, _, work)) = &mut self.work else {
            return Poll::Pending;
        };
        let Poll::Ready((transmit, outcome)) = work.poll_unpin(context) else {
            return Poll::Pending;
        };
        self.transmit = Some(transmit);
        match self.work.take() {
            Some((job, ..)) => Poll::Ready((job, outcome)),
            None => Poll::Pending,
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Inbound, BusError>>> {
        self.frames.poll_next_unpin(context)
    }
}
