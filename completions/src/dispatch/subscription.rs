//! The listener's subscription: asked for, live, or waiting to be asked for again.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::stream::StreamExt;
use midplane_core::{Backoff, Random};

use super::seams::Seams;
use crate::error::SubscribeError;
use crate::stream::{CompletionStream, StreamItem};

/// One subscription after the other, with a pause behind each that failed or ended.
pub(super) struct Subscription {
    phase: Phase,
    /// Attempts in a row that failed.
    failures: u32,
    random: Random,
}

enum Phase {
    Asking(BoxFuture<'static, Result<CompletionStream, SubscribeError>>),
    Live(CompletionStream),
    Pausing(BoxFuture<'static, ()>),
    Closed,
}

/// What happened to the subscription.
pub(super) enum Progress {
    /// A subscription is live.
    Subscribed,
    /// An attempt to subscribe failed.
    Failed(SubscribeError),
    Item(StreamItem),
    /// Nothing to report, and more to poll.
    Moved,
}

impl Subscription {
    pub(super) fn new(seams: &Seams) -> Self {
        Self {
            phase: Phase::Asking(ask(seams)),
            failures: 0,
            random: Random::from_clock(&*seams.timer),
        }
    }

    /// Drops the subscription for good.
    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
    }

    /// What happened; `None` while nothing does.
    pub(super) fn poll(&mut self, seams: &Seams, context: &mut Context<'_>) -> Option<Progress> {
        match &mut self.phase {
            Phase::Closed => None,
            Phase::Asking(asking) => match asking.as_mut().poll(context) {
                Poll::Pending => None,
                Poll::Ready(Ok(stream)) => {
                    self.failures = 0;
                    self.phase = Phase::Live(stream);
                    Some(Progress::Subscribed)
                }
                Poll::Ready(Err(error)) => {
                    self.pause(seams);
                    Some(Progress::Failed(error))
                }
            },
            Phase::Pausing(pause) => match pause.as_mut().poll(context) {
                Poll::Pending => None,
                Poll::Ready(()) => {
                    self.phase = Phase::Asking(ask(seams));
                    Some(Progress::Moved)
                }
            },
            Phase::Live(stream) => match stream.poll_next_unpin(context) {
                Poll::Pending => None,
                Poll::Ready(Some(item)) => Some(Progress::Item(item)),
                Poll::Ready(None) => {
                    self.pause(seams);
                    Some(Progress::Moved)
                }
            },
        }
    }

    fn pause(&mut self, seams: &Seams) {
        let wait = Backoff::default().wait(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Pausing(seams.timer.sleep(wait));
    }
}

/// Subscribes; a backend that cannot filter is asked for everything.
fn ask(seams: &Seams) -> BoxFuture<'static, Result<CompletionStream, SubscribeError>> {
    let backend = Arc::clone(&seams.backend);
    let filter = seams.filter.clone();
    Box::pin(async move {
        match backend.capabilities().filters() {
            true => backend.subscribe_completions_filtered(&filter).await,
            false => backend.subscribe_completions().await,
        }
    })
}
