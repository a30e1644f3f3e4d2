//! One session with the bus, as the engine polls it: what arrives, and the one thing it is doing.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt};

use crate::bus::{BusError, Inbound, Lane, Link, Outbound, Transmit};
use crate::time::Instant;

/// What a session does, one at a time.
#[derive(Clone)]
pub(super) enum Job {
    Subscribe(Vec<Lane>),
    Unsubscribe(Vec<Lane>),
    Send(Batch),
    Close,
}

/// Frames handed to the bus in one go.
#[derive(Clone)]
pub(super) struct Batch {
    pub(super) frames: Arc<Vec<Outbound>>,
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// When the oldest of its messages was queued.
    pub(super) oldest: Option<Instant>,
    /// It was handed over before, to a session that died of something.
    pub(super) again: bool,
}

type Worked = (Box<dyn Transmit>, Result<(), BusError>);

pub(super) struct Open {
    frames: BoxStream<'static, Result<Inbound, BusError>>,
    transmit: Option<Box<dyn Transmit>>,
    work: Option<(Job, Instant, BoxFuture<'static, Worked>)>,
    /// The lanes that the server has confirmed.
    pub(super) lanes: BTreeSet<Lane>,
    /// Whether the first lanes are subscribed, and the node knows of the session.
    pub(super) joined: bool,
}

impl Open {
    pub(super) fn new(link: Link) -> Self {
        Self {
            frames: link.frames,
            transmit: Some(link.transmit),
            work: None,
            lanes: BTreeSet::new(),
            joined: false,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.transmit.is_some()
    }

    /// Begins the job, to be done by `until`. Only for an idle session.
    pub(super) fn start(&mut self, job: Job, until: Instant) {
        let Some(mut transmit) = self.transmit.take() else {
            return;
        };
        let doing = job.clone();
        let work = async move {
            let outcome = match &doing {
                Job::Subscribe(lanes) => transmit.subscribe(lanes).await,
                Job::Unsubscribe(lanes) => transmit.unsubscribe(lanes).await,
                Job::Send(batch) => transmit.send(&batch.frames).await,
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

    /// The batch that is being handed over.
    pub(super) fn batch(&self) -> Option<&Batch> {
        match &self.work {
            Some((Job::Send(batch), ..)) => Some(batch),
            _ => None,
        }
    }

    /// The job that is done, and how.
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
