//! The one task of a listener: from the stream and the ledger, through claims and handlers, to the record
//! in the ledger.

mod claims;
mod contained;
mod flow_queue;
mod handlers;
mod intake;
mod job;
mod reconciler;
mod seams;
mod settlement;
mod subscription;
mod walk;
mod window;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures::channel::oneshot;
use futures::future::BoxFuture;
use hashbrown::HashMap;
use midplane_core::Host;

use crate::control::Control;
use crate::handler::Handled;
use crate::payload::Completion;
use crate::report::Drained;
use crate::stream::StreamItem;
use claims::{Claims, ClaimsAnswer};
use handlers::{HandlerEnd, HandlerVerdict, Handlers};
use intake::Intake;
use job::Claimed;
use reconciler::Reconciler;
pub(crate) use seams::Seams;
use settlement::Settlement;
use subscription::{Progress, Subscription};

/// How many rounds the task makes before it yields to other tasks.
const ROUNDS: usize = 64;

/// The future behind a [`Listener`](crate::Listener).
pub(crate) struct Dispatch<H: Host> {
    seams: Seams,
    control: Arc<Control<H>>,
    subscription: Subscription,
    reconciler: Reconciler,
    intake: Intake,
    claims: Claims,
    handlers: Handlers<H>,
    settlement: Settlement,
    closing: Option<Closing>,
}

struct Closing {
    deadline: BoxFuture<'static, ()>,
    drained: Drained,
    reply: oneshot::Sender<Drained>,
}

impl<H: Host> Dispatch<H> {
    pub(crate) fn new(seams: Seams, control: Arc<Control<H>>) -> Self {
        Self {
            control,
            subscription: Subscription::new(&seams),
            reconciler: Reconciler::new(&seams),
            intake: Intake::new(seams.settings.window),
            claims: Claims::new(),
            handlers: Handlers::new(),
            settlement: Settlement::new(&seams),
            closing: None,
            seams,
        }
    }

    /// Begins to close, if the handle asks for that.
    fn poll_requests(&mut self, context: &mut Context<'_>) -> bool {
        let take = self.closing.is_none();
        let Some(close) = self.control.register(context.waker(), take) else {
            return false;
        };
        self.subscription.close();
        self.reconciler.stop();
        self.intake.clear();
        let waiting: Vec<_> = self.handlers.clear_waiting().collect();
        let mut drained = Drained::default();
        for claimed in waiting {
            drained.returned += 1;
            self.give_back(claimed);
        }
        self.closing = Some(Closing {
            deadline: self.seams.timer.sleep(close.deadline),
            drained,
            reply: close.reply,
        });
        true
    }

    fn poll_stream(&mut self, context: &mut Context<'_>) -> bool {
        let room = self.intake.arrived() < self.seams.settings.queue.max(1);
        match self.subscription.poll(&self.seams, room, context) {
            None => return false,
            Some(Progress::Moved) => {}
            Some(Progress::Subscribed) => self.subscribed(),
            Some(Progress::Failed { first }) => {
                self.control.count(|counters| counters.unsubscribed += 1);
                // Without a stream only the ledger shows what finished.
                if first {
                    self.reconciler.walk_soon();
                }
            }
            Some(Progress::Item(item)) => self.take(item),
        }
        true
    }

    fn subscribed(&mut self) {
        self.control.count(|counters| counters.subscribed += 1);
        self.reconciler.walk_soon();
    }

    fn take(&mut self, item: StreamItem) {
        match item {
            StreamItem::Completion(completion) => {
                self.control.count(|counters| counters.streamed += 1);
                if self.seams.filter.matches(&completion) {
                    self.admit(completion, false);
                }
            }
            StreamItem::Resync => self.subscribed(),
            StreamItem::Lagged(lost) => {
                self.control.count(|counters| counters.lagged += lost);
                self.reconciler.walk_soon();
            }
            StreamItem::Poison(_) => self.control.count(|counters| counters.poison += 1),
            StreamItem::Trouble(_) => {}
        }
    }

    fn admit(&mut self, completion: Completion, walked: bool) {
        let admission = self.intake.admit(completion, walked);
        if admission.repeated {
            self.control.count(|counters| counters.repeated += 1);
        }
        if !admission.queued {
            self.reconciler.report(walked, |report| report.no_op += 1);
        } else if walked {
            self.reconciler.found();
        }
    }

    fn poll_walk(&mut self, context: &mut Context<'_>) -> bool {
        if self.closing.is_some() {
            return false;
        }
        if self.reconciler.is_idle() {
            let waiting = self.control.take_walks();
            self.reconciler.begin(&self.seams, waiting, context);
        }
        let mut moved = false;
        let room = self.intake.found() == 0;
        if let Some(page) = self.reconciler.poll_page(&self.seams, room, context) {
            moved = true;
            for completion in page {
                if self.seams.filter.matches(&completion) {
                    self.admit(completion, true);
                } else {
                    self.reconciler.report(true, |report| report.filtered += 1);
                }
            }
        }
        if let Some(report) = self.reconciler.poll_end(&self.seams) {
            moved = true;
            self.control.count(|counters| counters.end_walk(&report));
        }
        moved
    }

    fn poll_claims(&mut self, context: &mut Context<'_>) -> bool {
        if self.claims.is_idle() {
            let queue = self.seams.settings.queue.max(1);
            let room = queue.saturating_sub(self.handlers.waiting());
            let jobs = self.intake.next_jobs(room);
            self.claims.begin(&self.seams, jobs);
        }
        let Some(ClaimsAnswer {
            jobs,
            until,
            answer,
        }) = self.claims.poll(context)
        else {
            return false;
        };
        let Ok(claims) = answer else {
            self.control.count(|counters| counters.unclaimed += 1);
            let walked = jobs.iter().filter(|job| job.walked).count();
            self.reconciler
                .report(walked > 0, |report| report.errors += 1);
            self.reconciler.settled(walked);
            for job in jobs {
                self.intake.forget(&job.completion.execution);
            }
            return true;
        };
        let mut claims: HashMap<_, _> = claims
            .into_iter()
            .map(|claim| (claim.execution.clone(), claim))
            .collect();
        for job in jobs {
            match claims.remove(&job.completion.execution) {
                Some(claim) => self.claimed(Claimed { job, claim, until }),
                None => {
                    self.intake.forget(&job.completion.execution);
                    self.control.count(|counters| counters.taken += 1);
                    self.reconciler
                        .report(job.walked, |report| report.no_op += 1);
                    self.reconciler.settled(usize::from(job.walked));
                }
            }
        }
        true
    }

    fn claimed(&mut self, claimed: Claimed) {
        if self.closing.is_some() {
            self.give_back(claimed);
        } else if claimed.job.known {
            self.intake.forget(&claimed.job.completion.execution);
            self.reconciler
                .report(claimed.job.walked, |report| report.no_op += 1);
            self.settlement.handled(claimed);
        } else {
            self.handlers.push(claimed);
        }
    }

    fn poll_handlers(&mut self, context: &mut Context<'_>) -> bool {
        let waiting = self.handlers.waiting();
        let mut moved = false;
        while let Some(ended) = self.handlers.poll(&self.seams, context) {
            moved = true;
            self.ended(ended);
        }
        moved || self.handlers.waiting() != waiting
    }

    fn ended(&mut self, ended: HandlerEnd) {
        let HandlerEnd {
            claimed,
            verdict,
            ran,
        } = ended;
        if let Some(closing) = self.closing.as_mut().filter(|_| ran) {
            closing.drained.finished += 1;
        }
        let execution = &claimed.job.completion.execution;
        self.intake.forget(execution);
        let handled = matches!(verdict, HandlerVerdict::Handled(_));
        if handled {
            self.intake.handled(execution);
        }
        self.control.count(|counters| match verdict {
            HandlerVerdict::Handled(Handled::Done) => counters.done += 1,
            HandlerVerdict::Handled(Handled::NoOp) => counters.no_op += 1,
            HandlerVerdict::Failed => counters.failed += 1,
            HandlerVerdict::Panicked => counters.panicked += 1,
            HandlerVerdict::Late => counters.late += 1,
        });
        self.reconciler
            .report(claimed.job.walked, |report| match verdict {
                HandlerVerdict::Handled(Handled::Done) => report.reconciled += 1,
                HandlerVerdict::Handled(Handled::NoOp) => report.no_op += 1,
                _ => report.errors += 1,
            });
        if handled {
            self.settlement.handled(claimed);
        } else {
            self.give_back(claimed);
        }
    }

    /// Releases a claim, so that the execution is tried again later.
    fn give_back(&mut self, claimed: Claimed) {
        self.intake.forget(&claimed.job.completion.execution);
        self.settlement.release(claimed);
    }

    fn poll_settlement(&mut self, context: &mut Context<'_>) -> bool {
        let Some(ended) = self.settlement.poll(&self.seams, context) else {
            return false;
        };
        if !ended.answered {
            self.control.count(|counters| counters.unsettled += 1);
            self.reconciler
                .report(ended.walked > 0, |report| report.errors += 1);
        }
        self.reconciler.settled(ended.walked);
        true
    }

    /// Whether the listener is closed: nothing is under way, or the deadline has passed.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> bool {
        let Some(closing) = &mut self.closing else {
            return false;
        };
        let idle =
            self.handlers.running() == 0 && self.claims.is_idle() && self.settlement.is_idle();
        if !idle && closing.deadline.as_mut().poll(context).is_pending() {
            return false;
        }
        closing.drained.abandoned = self.handlers.running() as u64;
        self.handlers.abandon();
        true
    }
}

impl<H: Host> Future for Dispatch<H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..ROUNDS {
            let mut moved = this.poll_requests(context);
            moved |= this.poll_stream(context);
            moved |= this.poll_walk(context);
            moved |= this.poll_claims(context);
            moved |= this.poll_handlers(context);
            moved |= this.poll_settlement(context);
            if this.poll_closed(context) {
                if let Some(closing) = this.closing.take() {
                    // A caller that no longer waits needs no report.
                    let _ = closing.reply.send(closing.drained);
                }
                return Poll::Ready(());
            }
            if !moved {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<H: Host> Drop for Dispatch<H> {
    fn drop(&mut self) {
        self.control.end();
    }
}
