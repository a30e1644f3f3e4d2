//! What comes in: from the stream, and from walks through the ledger.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem;
use core::task::{Context, Poll};
use core::time::Duration;

use futures::future::BoxFuture;
use futures::stream::StreamExt;

use super::{Dispatch, Job, Subscription};
use crate::deadline::in_time;
use crate::listener::Listener;
use crate::reconcile::Walk;
use crate::{Completion, CompletionStream, Item, Scanned, SubscribeError};
use midplane_core::{Backoff, Host};

impl<H: Host> Dispatch<H> {
    pub(super) fn poll_stream(&mut self, context: &mut Context<'_>) -> bool {
        match &mut self.subscription {
            Subscription::Over => return false,
            Subscription::Asking(asking) => match asking.as_mut().poll(context) {
                Poll::Pending => return false,
                Poll::Ready(Ok(stream)) => {
                    self.failures = 0;
                    self.subscription = Subscription::Live(stream);
                    self.subscribed();
                }
                Poll::Ready(Err(_)) => {
                    self.shared.count(|counters| counters.unsubscribed += 1);
                    // With no stream there is all the more to find.
                    self.walk_soon |= self.failures == 0;
                    self.pause();
                }
            },
            Subscription::Pausing(pause) => match pause.as_mut().poll(context) {
                Poll::Pending => return false,
                Poll::Ready(()) => self.subscription = Subscription::Asking(ask(&self.listener)),
            },
            Subscription::Live(stream) => {
                if self.arrived.len() >= self.listener.settings.queue.max(1) {
                    return false;
                }
                match stream.poll_next_unpin(context) {
                    Poll::Pending => return false,
                    Poll::Ready(Some(item)) => self.take(item),
                    Poll::Ready(None) => self.pause(),
                }
            }
        }
        true
    }

    fn pause(&mut self) {
        let wait = Backoff::default().wait(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        self.subscription = Subscription::Pausing(self.listener.timer.sleep(wait));
    }

    fn subscribed(&mut self) {
        self.shared.count(|counters| counters.subscribed += 1);
        self.walk_soon = true;
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Completion(completion) => {
                self.shared.count(|counters| counters.streamed += 1);
                if self.listener.filter.matches(&completion) {
                    self.meet(completion, false);
                }
            }
            Item::Resync => self.subscribed(),
            Item::Lagged(lost) => {
                self.shared.count(|counters| counters.lagged += lost);
                self.walk_soon = true;
            }
            Item::Poison(_) => self.shared.count(|counters| counters.poison += 1),
        }
    }

    /// Lets a completion in, unless it is in already or was here before.
    fn meet(&mut self, completion: Completion, walked: bool) {
        let known = self.window.contains(&completion.execution);
        let busy = self.busy.contains(&completion.execution);
        if known || busy {
            self.shared.count(|counters| counters.repeated += 1);
        }
        if busy || (known && !walked) {
            self.report(walked, |report| report.no_op += 1);
            return;
        }
        self.busy.insert(completion.execution.clone());
        let job = Job {
            completion,
            walked,
            known,
        };
        if walked {
            if let Some(walk) = &mut self.walk {
                walk.outstanding += 1;
            }
            self.found.push_back(job);
        } else {
            self.arrived.push_back(job);
        }
    }

    pub(super) fn poll_walk(&mut self, context: &mut Context<'_>) -> bool {
        if self.closing.is_some() {
            return false;
        }
        if self.walk.is_none() {
            self.walk = self.begin_walk(context);
        }
        let Some(walk) = &mut self.walk else {
            return false;
        };
        if self.found.is_empty()
            && let Some(scan) = walk.begin()
        {
            let ledger = Arc::clone(&self.listener.ledger);
            let timer = Arc::clone(&self.listener.timer);
            let deadline = self.listener.settings.deadline;
            self.scanning = Some(Box::pin(async move {
                in_time(&*timer, deadline, ledger.scan(&scan)).await
            }));
        }
        let mut moved = false;
        if let Some(scanning) = &mut self.scanning
            && let Poll::Ready(answer) = scanning.as_mut().poll(context)
        {
            self.scanning = None;
            moved = true;
            match answer {
                Ok(page) => self.walk_through(page),
                Err(_) => walk.failed(),
            }
        }
        if let Some(walk) = self.walk.take_if(|walk| walk.finished()) {
            moved = true;
            self.shared
                .count(|counters| counters.end_walk(&walk.report));
            self.place = walk.tell();
            self.interval = self.listener.timer.sleep(self.listener.settings.interval);
        }
        moved
    }

    /// A walk, if there is a reason for one.
    fn begin_walk(&mut self, context: &mut Context<'_>) -> Option<Walk> {
        let settings = self.listener.settings;
        let waiting = mem::take(&mut self.shared.control.lock().walks);
        let now = Duration::ZERO;
        if !waiting.is_empty() {
            return Some(Walk::new(None, now, usize::MAX, settings.page, waiting));
        }
        // The first walk comes once the stream is live, or known not to be: what finishes between a scan
        // and a subscription behind it would be seen by neither.
        if mem::take(&mut self.walk_soon) {
            return Some(Walk::new(None, now, settings.pages, settings.page, waiting));
        }
        self.interval.as_mut().poll(context).is_ready().then(|| {
            let place = self.place.take();
            Walk::new(
                place,
                settings.stale,
                settings.pages,
                settings.page,
                waiting,
            )
        })
    }

    fn walk_through(&mut self, page: Scanned) {
        if let Some(walk) = &mut self.walk {
            walk.page(&page);
        }
        for completion in page.completions {
            if self.listener.filter.matches(&completion) {
                self.meet(completion, true);
            } else {
                self.report(true, |report| report.filtered += 1);
            }
        }
    }
}

/// Subscribes; a backend that cannot filter is asked for everything.
pub(super) fn ask<H>(
    listener: &Listener<H>,
) -> BoxFuture<'static, Result<CompletionStream, SubscribeError>> {
    let backend = Arc::clone(&listener.backend);
    let filter = listener.filter.clone();
    Box::pin(async move {
        match backend.capabilities().filters() {
            true => backend.subscribe_completions_filtered(&filter).await,
            false => backend.subscribe_completions().await,
        }
    })
}
