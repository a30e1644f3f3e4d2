//! When to take executions from the ledger, how many, and the call that does.

use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use core::cmp::Reverse;
use core::mem;
use core::task::{Context, Poll};
use core::time::Duration;

use futures::future::BoxFuture;
use hashbrown::HashSet;
use midplane_core::{Backoff, Instant, Random};

use super::seams::Seams;
use crate::deadline::in_time;
use crate::error::BackendError;
use crate::ledger::{Take, Taken};
use crate::payload::ExecutionId;

/// What is taken ahead is to be begun within this time.
const AHEAD: Duration = Duration::from_millis(500);

/// The most completions of the stream that are remembered until they are taken; behind them each look counts.
const REMEMBERED: usize = 4_096;

/// The bound of the pause after the first call that found nothing.
const VAIN: Duration = Duration::from_millis(30);

/// At most one call to the ledger at a time, when there is a reason.
///
/// There are two kinds of reasons. One is certain to be worth a call: the start, a new subscription, a page that was not the
/// last, a pause that is over, the interval. The other is a completion of the stream, which all listeners get and one
/// takes: a listener that was too late waits before it looks for the next one, longer each time, so that the quicker one has
/// them to itself until that one is busy. Each find ends the wait, and halves the next.
pub(super) struct Taking {
    calling: Option<BoxFuture<'static, TakingAnswer>>,
    urgent: bool,
    /// The last call left something.
    more: bool,
    /// The call that is under way was made for the stream, or for what the last one left.
    for_others_too: bool,
    /// What the stream brought and no call has looked for.
    awaited: HashSet<ExecutionId>,
    /// What a call is looking for.
    sought: HashSet<ExecutionId>,
    /// Calls that found nothing, halved by each that found something.
    vain: u32,
    pause: Option<BoxFuture<'static, ()>>,
    /// Calls in a row that were not answered, and the pause behind the last.
    failures: u32,
    failed: Option<BoxFuture<'static, ()>>,
    interval: BoxFuture<'static, ()>,
    retries: BinaryHeap<Reverse<Instant>>,
    retry: Option<BoxFuture<'static, ()>>,
    /// How many executions may wait for a handler.
    ahead: usize,
    /// When the last call was answered that found something.
    found: Instant,
    random: Random,
}

struct TakingAnswer {
    begun: Instant,
    answer: Result<Taken, BackendError>,
}

/// How a call that takes executions ended.
pub(super) enum TakingProgress {
    /// What was taken, under leases that began no earlier than at this moment.
    Taken(Taken, Instant),
    Failed(BackendError),
}

impl Taking {
    pub(super) fn new(seams: &Seams) -> Self {
        Self {
            calling: None,
            urgent: true,
            more: false,
            for_others_too: false,
            awaited: HashSet::new(),
            sought: HashSet::new(),
            vain: 0,
            pause: None,
            failures: 0,
            failed: None,
            interval: seams.timer.sleep(seams.settings.interval),
            retries: BinaryHeap::new(),
            retry: None,
            ahead: least_ahead(seams),
            found: Instant::ZERO,
            random: Random::from_clock(&*seams.timer),
        }
    }

    /// Has a call made as soon as there is room.
    pub(super) fn look(&mut self) {
        self.urgent = true;
    }

    /// Has a call made for a completion of the stream.
    pub(super) fn look_for(&mut self, execution: &ExecutionId) {
        if self.awaited.len() < REMEMBERED {
            self.awaited.insert(execution.clone());
        }
    }

    /// Has a call made at this moment.
    pub(super) fn look_at(&mut self, moment: Instant) {
        self.retries.push(Reverse(moment));
        self.retry = None;
    }

    /// Whether no call is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.calling.is_none()
    }

    /// Whether everything that could be taken at a [look](Self::look) before this is taken.
    pub(super) fn is_done(&self) -> bool {
        self.calling.is_none() && !self.urgent && !self.more
    }

    /// Makes a call where there is a reason and room, and gives the answer of a call that ended.
    pub(super) fn poll(
        &mut self,
        seams: &Seams,
        waiting: usize,
        context: &mut Context<'_>,
    ) -> Option<TakingProgress> {
        self.poll_times(seams, context);
        if self.calling.is_none() && self.wants(context) {
            self.begin(seams, waiting);
        }
        let Poll::Ready(answer) = self.calling.as_mut()?.as_mut().poll(context) else {
            return None;
        };
        self.calling = None;
        Some(self.answered(seams, answer))
    }

    /// What is due by the clock.
    fn poll_times(&mut self, seams: &Seams, context: &mut Context<'_>) {
        if self.interval.as_mut().poll(context).is_ready() {
            self.urgent = true;
            self.interval = seams.timer.sleep(seams.settings.interval);
            let _ = self.interval.as_mut().poll(context);
        }
        let now = seams.timer.now();
        while self.retries.peek().is_some_and(|first| first.0 <= now) {
            self.retries.pop();
            self.retry = None;
            self.urgent = true;
        }
        if let Some(Reverse(first)) = self.retries.peek() {
            let wait = *first - now;
            let retry = self.retry.get_or_insert_with(|| seams.timer.sleep(wait));
            if retry.as_mut().poll(context).is_ready() {
                self.retry = None;
                context.waker().wake_by_ref();
            }
        }
    }

    fn wants(&mut self, context: &mut Context<'_>) -> bool {
        let waits = |pause: &mut Option<BoxFuture<'static, ()>>, context: &mut Context<'_>| {
            if let Some(waiting) = pause
                && waiting.as_mut().poll(context).is_pending()
            {
                return true;
            }
            *pause = None;
            false
        };
        if waits(&mut self.failed, context) {
            return false;
        }
        self.urgent || self.more || (!self.awaited.is_empty() && !waits(&mut self.pause, context))
    }

    fn begin(&mut self, seams: &Seams, waiting: usize) {
        let now = seams.timer.now();
        // Twice as much where the last was soon begun.
        let ahead = match now - self.found < AHEAD {
            true => (self.ahead * 2).min(seams.settings.queue.max(1)),
            false => least_ahead(seams),
        };
        let room = ahead.saturating_sub(waiting);
        if room * 2 < ahead {
            return;
        }
        self.ahead = ahead;
        self.for_others_too = !mem::take(&mut self.urgent);
        self.more = false;
        self.sought = mem::take(&mut self.awaited);
        let take = Take::new(room).with_filter(seams.filter.clone());
        let settings = seams.settings;
        let ledger = Arc::clone(&seams.ledger);
        let timer = Arc::clone(&seams.timer);
        self.calling = Some(Box::pin(async move {
            let begun = timer.now();
            let taking = ledger.take(&take, settings.lease);
            let answer = in_time(&*timer, settings.deadline, taking).await;
            TakingAnswer { begun, answer }
        }));
    }

    fn answered(&mut self, seams: &Seams, answer: TakingAnswer) -> TakingProgress {
        let taken = match answer.answer {
            Ok(taken) => taken,
            Err(error) => {
                let wait = Backoff::default().wait(self.failures, &mut self.random);
                self.failures = self.failures.saturating_add(1);
                self.failed = Some(seams.timer.sleep(wait));
                self.urgent = true;
                return TakingProgress::Failed(error);
            }
        };
        self.failures = 0;
        self.more = taken.more;
        let sought = mem::take(&mut self.sought);
        if taken.more {
            // Perhaps they are behind what was taken.
            self.awaited.extend(sought);
        }
        for (completion, _) in &taken.work {
            self.awaited.remove(&completion.execution);
        }
        if !taken.work.is_empty() {
            // What the call itself took says nothing of the handlers: a slow store is not to be asked for less.
            self.found = seams.timer.now();
            self.vain /= 2;
            self.pause = None;
        } else if self.for_others_too {
            let bounds = Backoff::new(VAIN, seams.settings.reserve);
            let spread = bounds.wait(self.vain, &mut self.random);
            let bound = VAIN
                .saturating_mul(2_u32.saturating_pow(self.vain))
                .min(seams.settings.reserve);
            self.vain = self.vain.saturating_add(1);
            self.pause = Some(seams.timer.sleep((bound + spread) / 2));
        }
        TakingProgress::Taken(taken, answer.begun)
    }
}

/// How many executions may wait for a handler where handlers are slow.
fn least_ahead(seams: &Seams) -> usize {
    let settings = seams.settings;
    settings.concurrency.min(settings.queue).max(1)
}
