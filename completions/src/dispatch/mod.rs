//! The one task of a listener: from the ledger, which the stream says to look into, through handlers back to the ledger.

mod contained;
mod flow_queue;
mod handlers;
mod incidents;
mod leases;
mod seams;
mod settlement;
mod subscription;
mod taking;
mod window;
mod work;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures::channel::oneshot;
use futures::future::BoxFuture;
use hashbrown::HashSet;
use midplane_core::{Host, Instant, Random};

use crate::control::{Control, ReconcileReply};
use crate::error::{BackendErrorKind, SubscribeError};
use crate::error_text::ErrorText;
use crate::handler::Handled;
use crate::ledger::{Claim, Settled, Taken, Verdict};
use crate::notice::{ListenerNotice, ListenerPart};
use crate::payload::Completion;
use crate::report::{Drained, ListenerCounters};
use crate::stream::StreamItem;
use handlers::{HandlerEnd, HandlerVerdict, Handlers};
use incidents::Incidents;
use leases::{LeaseProgress, Leases};
pub(crate) use seams::Seams;
use settlement::{Settlement, SettlementProgress};
use subscription::{Progress, Subscription};
use taking::{Taking, TakingProgress};
use window::Window;
use work::{FlowKey, Work};

/// How many rounds the task makes before it yields to other tasks.
const ROUNDS: usize = 64;

/// The future behind a [`Listener`](crate::Listener).
pub(crate) struct Dispatch<H: Host> {
    seams: Seams,
    control: Arc<Control<H>>,
    subscription: Subscription,
    taking: Taking,
    leases: Leases,
    handlers: Handlers<H>,
    settlement: Settlement,
    incidents: Incidents,
    /// The executions that were handled lately.
    window: Window,
    /// Callers that wait until nothing is left to take, each with the counters of the time of its call.
    reconciling: Vec<(ReconcileReply, ListenerCounters)>,
    closing: Option<Closing>,
    random: Random,
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
            taking: Taking::new(&seams),
            leases: Leases::new(),
            handlers: Handlers::new(),
            settlement: Settlement::new(&seams),
            incidents: Incidents::default(),
            window: Window::new(seams.settings.window),
            reconciling: Vec::new(),
            closing: None,
            random: Random::from_clock(&*seams.timer),
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
        self.reconciling.clear();
        self.closing = Some(Closing {
            deadline: self.seams.timer.sleep(close.deadline),
            drained: Drained::default(),
            reply: close.reply,
        });
        for work in self.handlers.clear_waiting().collect::<Vec<_>>() {
            self.give_back(work.claim);
        }
        true
    }

    fn poll_stream(&mut self, context: &mut Context<'_>) -> bool {
        match self.subscription.poll(&self.seams, context) {
            None => return false,
            Some(Progress::Moved) => {}
            Some(Progress::Subscribed) => self.subscribed(),
            Some(Progress::Failed(error)) => {
                self.control.count(|counters| counters.unsubscribed += 1);
                match &error {
                    SubscribeError::Backend(cause) => {
                        self.failed(ListenerPart::Stream, cause.kind(), cause);
                    }
                    _ => self.failed(ListenerPart::Stream, BackendErrorKind::Protocol, &error),
                }
            }
            Some(Progress::Item(item)) => self.take_item(item),
        }
        true
    }

    fn subscribed(&mut self) {
        self.control.count(|counters| counters.subscribed += 1);
        self.works(ListenerPart::Stream);
        self.taking.look();
    }

    fn take_item(&mut self, item: StreamItem) {
        match item {
            StreamItem::Completion(completion) => {
                self.control.count(|counters| counters.streamed += 1);
                if self.seams.filter.matches(&completion) {
                    self.announced(&completion);
                }
            }
            StreamItem::Resync => self.subscribed(),
            StreamItem::Lagged(lost) => {
                self.control.count(|counters| counters.lagged += lost);
                self.taking.look();
            }
            StreamItem::Poison(_) => self.control.count(|counters| counters.poison += 1),
            StreamItem::Trouble(trouble) => {
                self.failed(ListenerPart::Stream, trouble.kind, &trouble);
            }
        }
    }

    /// Looks for the completion, unless it is here already or its flow is, which is looked for once what is here of it is
    /// settled.
    fn announced(&mut self, completion: &Completion) {
        let execution = &completion.execution;
        if self.leases.has(execution) || self.window.contains(execution) {
            return;
        }
        let grows = FlowKey::of(completion).is_some_and(|flow| self.leases.grows(&flow));
        if !grows {
            self.taking.look_for(execution);
        }
    }

    fn poll_taking(&mut self, context: &mut Context<'_>) -> bool {
        if self.closing.is_some() && self.taking.is_idle() {
            return false;
        }
        let requests = self.control.take_reconciles();
        if !requests.is_empty() {
            let before = self.control.counters();
            let requests = requests.into_iter().map(|reply| (reply, before));
            self.reconciling.extend(requests);
            self.taking.look();
        }
        let waiting = self.handlers.waiting();
        match self.taking.poll(&self.seams, waiting, context) {
            None => return false,
            Some(TakingProgress::Taken(taken, begun)) => {
                self.works(ListenerPart::Take);
                self.taken(taken, begun);
            }
            Some(TakingProgress::Failed(error)) => {
                self.unanswered(ListenerPart::Take, &error);
            }
        }
        true
    }

    fn taken(&mut self, taken: Taken, begun: Instant) {
        let until = begun + self.seams.settings.lease;
        self.control.count(|counters| match taken.work.len() {
            0 => counters.vain += 1,
            count => {
                counters.fruitful += 1;
                counters.taken += count as u64;
            }
        });
        for (completion, claim) in taken.work {
            let known = self.window.contains(&completion.execution);
            let work = Work { completion, claim };
            self.leases.hold(&work, until, taken.more);
            if self.closing.is_some() {
                self.give_back(work.claim);
            } else if known {
                self.control.count(|counters| counters.repeated += 1);
                self.settle(work.claim, Verdict::Handled);
            } else {
                self.handlers.push(work);
            }
        }
    }

    fn poll_leases(&mut self, context: &mut Context<'_>) -> bool {
        match self.leases.poll(&self.seams, context) {
            None => return false,
            Some(LeaseProgress::Renewed(lost)) => {
                self.works(ListenerPart::Renew);
                self.lose(&lost);
            }
            Some(LeaseProgress::Failed(error)) => self.unanswered(ListenerPart::Renew, &error),
            Some(LeaseProgress::Over(over)) => self.lose(&over),
        }
        true
    }

    /// Ends the work on claims that are void: others may be at it.
    fn lose(&mut self, claims: &[Claim]) {
        if claims.is_empty() {
            return;
        }
        let lost: HashSet<_> = claims.iter().map(|claim| claim.token).collect();
        self.control
            .count(|counters| counters.lost += lost.len() as u64);
        let waiting = self.handlers.lose(|token| lost.contains(&token));
        for claim in claims {
            self.settlement.forget(claim);
            self.end_lease(claim.token);
        }
        for work in waiting {
            if !lost.contains(&work.claim.token) {
                self.give_back(work.claim);
            }
        }
    }

    fn end_lease(&mut self, token: u64) {
        if self.leases.end(token) {
            self.taking.look();
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
            work,
            verdict,
            behind,
        } = ended;
        if let Some(closing) = &mut self.closing {
            closing.drained.finished += 1;
        }
        self.control.count(|counters| match &verdict {
            HandlerVerdict::Handled(Handled::Done | Handled::Recorded) => counters.done += 1,
            HandlerVerdict::Handled(Handled::NoOp) => counters.no_op += 1,
            HandlerVerdict::Failed(_) => counters.failed += 1,
            HandlerVerdict::Panicked => counters.panicked += 1,
            HandlerVerdict::Late => counters.late += 1,
            HandlerVerdict::Ended => {}
        });
        match verdict {
            HandlerVerdict::Handled(handled) => {
                self.window.insert(&work.completion.execution);
                match handled {
                    Handled::Recorded => self.end_lease(work.claim.token),
                    _ => self.settle(work.claim, Verdict::Handled),
                }
            }
            HandlerVerdict::Ended => self.give_back(work.claim),
            HandlerVerdict::Failed(error) => self.try_again(work.claim, error),
            HandlerVerdict::Panicked => {
                self.try_again(work.claim, ErrorText::new("the handler panicked"));
            }
            HandlerVerdict::Late => {
                let patience = self.seams.settings.patience;
                let text = alloc::format!("the handler took longer than {patience:?}");
                self.try_again(work.claim, ErrorText::new(&text));
            }
        }
        for work in behind {
            self.give_back(work.claim);
        }
    }

    /// Has an execution tried again after a pause, unless the attempt that failed with this error was its last.
    fn try_again(&mut self, claim: Claim, error: ErrorText) {
        let settings = self.seams.settings;
        let attempt = claim.failures.saturating_add(1);
        let verdict = if settings.attempts.is_some_and(|most| attempt >= most) {
            self.control.count(|counters| counters.dead += 1);
            Verdict::Dead(error)
        } else {
            Verdict::Failed(settings.backoff.wait(claim.failures, &mut self.random))
        };
        self.settle(claim, verdict);
    }

    /// Gives back an execution that was not begun.
    fn give_back(&mut self, claim: Claim) {
        self.control.count(|counters| counters.returned += 1);
        if let Some(closing) = &mut self.closing {
            closing.drained.returned += 1;
        }
        self.settle(claim, Verdict::Returned);
    }

    /// Has a claim settled that is still held.
    fn settle(&mut self, claim: Claim, verdict: Verdict) {
        if self.leases.settling(claim.token) {
            self.settlement.push(claim, verdict);
        }
    }

    fn poll_settlement(&mut self, context: &mut Context<'_>) -> bool {
        match self.settlement.poll(&self.seams, context) {
            None => return false,
            Some(SettlementProgress::Settled(settled)) => {
                self.works(ListenerPart::Settle);
                settled.iter().for_each(|settled| self.settled(settled));
            }
            Some(SettlementProgress::Failed(error)) => {
                self.unanswered(ListenerPart::Settle, &error);
            }
        }
        true
    }

    fn settled(&mut self, settled: &Settled) {
        self.end_lease(settled.claim.token);
        match settled.verdict {
            Verdict::Handled => {}
            Verdict::Failed(pause) => self.taking.look_at(self.seams.timer.now() + pause),
            // What waited behind it goes on.
            Verdict::Dead(_) => self.taking.look(),
            Verdict::Returned => {}
        }
    }

    fn unanswered(&mut self, part: ListenerPart, error: &crate::BackendError) {
        self.control.count(|counters| counters.unanswered += 1);
        self.failed(part, error.kind(), error);
    }

    fn failed(&mut self, part: ListenerPart, kind: BackendErrorKind, error: &dyn Error) {
        if let Some(notice) = self.incidents.failed(part, kind, error) {
            self.tell(notice);
        }
    }

    fn works(&mut self, part: ListenerPart) {
        if let Some(notice) = self.incidents.works(part) {
            self.tell(notice);
        }
    }

    fn tell(&self, notice: ListenerNotice) {
        if let Some(observer) = &self.seams.observer {
            // An observer that panics is told of the next notice all the same.
            let _ = H::contain(&mut || observer(&notice));
        }
        self.control.tell(notice);
    }

    /// Answers callers that wait until everything is taken and settled.
    fn poll_reconciled(&mut self) {
        if self.reconciling.is_empty()
            || !self.taking.is_done()
            || self.leases.len() > 0
            || !self.settlement.is_idle()
        {
            return;
        }
        let counters = self.control.counters();
        for (reply, before) in self.reconciling.drain(..) {
            // A caller that no longer waits needs no report.
            let _ = reply.send(counters.since(&before));
        }
    }

    /// Whether the listener is closed: nothing is under way, or the deadline has passed.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> bool {
        let Some(closing) = &mut self.closing else {
            return false;
        };
        let idle =
            self.handlers.running() == 0 && self.taking.is_idle() && self.settlement.is_idle();
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
            moved |= this.poll_taking(context);
            moved |= this.poll_leases(context);
            moved |= this.poll_handlers(context);
            moved |= this.poll_settlement(context);
            this.poll_reconciled();
            this.control.measure(
                this.handlers.running(),
                this.handlers.waiting(),
                this.leases.len(),
            );
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
