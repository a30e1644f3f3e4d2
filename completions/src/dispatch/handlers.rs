//! The handlers that run, and the claimed completions that wait for one.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::marker::PhantomData;
use core::task::{Context, Poll};
use core::time::Duration;

use futures::future::{BoxFuture, Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use midplane_core::Host;

use super::contained::Contained;
use super::flow_queue::FlowQueue;
use super::job::Claimed;
use super::seams::Seams;
use crate::handler::Handled;
use crate::payload::FlowId;

/// Handlers of one listener, a bounded number at once and one at a time per flow.
pub(super) struct Handlers<H> {
    waiting: FlowQueue<Claimed>,
    running: FuturesUnordered<BoxFuture<'static, (Option<FlowId>, HandlerEnd)>>,
    host: PhantomData<fn() -> H>,
}

/// A completion whose handler ended, or never began.
pub(super) struct HandlerEnd {
    pub(super) claimed: Claimed,
    pub(super) verdict: HandlerVerdict,
    /// The handler was called.
    pub(super) ran: bool,
}

/// How a handler ended.
pub(super) enum HandlerVerdict {
    Handled(Handled),
    Failed,
    Panicked,
    /// The lease ended, or was about to when the handler's turn came.
    Late,
}

impl<H: Host> Handlers<H> {
    pub(super) fn new() -> Self {
        Self {
            waiting: FlowQueue::new(),
            running: FuturesUnordered::new(),
            host: PhantomData,
        }
    }

    /// How many completions wait for a handler.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many handlers run.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    pub(super) fn push(&mut self, claimed: Claimed) {
        let flow = claimed.job.completion.flow.clone();
        self.waiting.push(flow.as_ref(), claimed);
    }

    /// Takes out everything that waits.
    pub(super) fn clear_waiting(&mut self) -> impl Iterator<Item = Claimed> + use<H> {
        self.waiting.clear()
    }

    /// Drops the handlers that run.
    pub(super) fn abandon(&mut self) {
        self.running.clear();
    }

    /// Starts as many handlers as may run, and gives one that ended. `None` while none has.
    pub(super) fn poll(&mut self, seams: &Seams, context: &mut Context<'_>) -> Option<HandlerEnd> {
        while self.running.len() < seams.settings.concurrency.max(1)
            && let Some((flow, claimed)) = self.waiting.start()
        {
            let left = claimed.until - seams.timer.now();
            if left < seams.settings.lease / 4 {
                self.waiting.done(flow.as_ref());
                return Some(HandlerEnd {
                    claimed,
                    verdict: HandlerVerdict::Late,
                    ran: false,
                });
            }
            self.running.push(Self::run(seams, flow, claimed, left));
        }
        match self.running.poll_next_unpin(context) {
            Poll::Ready(Some((flow, ended))) => {
                self.waiting.done(flow.as_ref());
                Some(ended)
            }
            _ => None,
        }
    }

    /// Calls the handler; its panic or the end of its lease ends the call.
    fn run(
        seams: &Seams,
        flow: Option<FlowId>,
        claimed: Claimed,
        left: Duration,
    ) -> BoxFuture<'static, (Option<FlowId>, HandlerEnd)> {
        let handler = Arc::clone(&seams.handler);
        let lease = seams.timer.sleep(left);
        let completion = claimed.job.completion.clone();
        let call = Contained::<H, _>::new(Box::pin(async move {
            match handler.handle(&completion).await {
                Ok(handled) => HandlerVerdict::Handled(handled),
                Err(_) => HandlerVerdict::Failed,
            }
        }));
        Box::pin(async move {
            let verdict = match select(call, lease).await {
                Either::Left((Ok(verdict), _)) => verdict,
                Either::Left((Err(_), _)) => HandlerVerdict::Panicked,
                Either::Right(_) => HandlerVerdict::Late,
            };
            let ended = HandlerEnd {
                claimed,
                verdict,
                ran: true,
            };
            (flow, ended)
        })
    }
}
