//! The handlers that run, and the claimed completions that wait for one.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::pin::pin;
use core::task::{Context, Poll};

use futures::channel::oneshot;
use futures::future::{AbortHandle, Abortable, BoxFuture, Either, join, ready, select};
use futures::stream::{FuturesUnordered, StreamExt};
use hashbrown::HashMap;
use midplane_core::Host;

use super::contained::Contained;
use super::flow_queue::FlowQueue;
use super::seams::Seams;
use super::work::{FlowKey, Work};
use crate::error_text::ErrorText;
use crate::handler::{Attempt, Handled};

/// Handlers of one listener, a bounded number at once and one at a time per flow.
pub(super) struct Handlers<H> {
    waiting: FlowQueue<Work>,
    running: FuturesUnordered<BoxFuture<'static, HandlerEnd>>,
    /// What ends a handler that runs, by the token of its claim.
    aborts: HashMap<u64, AbortHandle>,
    host: PhantomData<fn() -> H>,
}

/// A completion whose handler ended.
pub(super) struct HandlerEnd {
    pub(super) work: Work,
    pub(super) verdict: HandlerVerdict,
    /// What waited behind it in its flow, and does not begin since this one failed.
    pub(super) behind: VecDeque<Work>,
}

/// How a handler ended.
pub(super) enum HandlerVerdict {
    Handled(Handled),
    Failed(ErrorText),
    Panicked,
    /// The handler took longer than it may.
    Late,
    /// The handler was ended by this listener, or by its runtime.
    Ended,
}

impl<H: Host> Handlers<H> {
    pub(super) fn new() -> Self {
        Self {
            waiting: FlowQueue::new(),
            running: FuturesUnordered::new(),
            aborts: HashMap::new(),
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

    pub(super) fn push(&mut self, work: Work) {
        self.waiting.push(FlowKey::of(&work.completion), work);
    }

    /// Takes out everything that waits.
    pub(super) fn clear_waiting(&mut self) -> impl Iterator<Item = Work> + use<H> {
        self.waiting.clear()
    }

    /// Ends the handlers of claims that are lost, and takes out what waits with such a claim or behind one.
    pub(super) fn lose(&mut self, lost: impl Fn(u64) -> bool) -> Vec<Work> {
        for (token, abort) in &self.aborts {
            if lost(*token) {
                abort.abort();
            }
        }
        self.waiting.take_lost(|work| lost(work.claim.token))
    }

    /// Ends and drops the handlers that run.
    pub(super) fn abandon(&mut self) {
        self.aborts.drain().for_each(|(_, abort)| abort.abort());
        self.running.clear();
    }

    /// Starts as many handlers as may run, and gives one that ended. `None` while none has.
    pub(super) fn poll(&mut self, seams: &Seams, context: &mut Context<'_>) -> Option<HandlerEnd> {
        while self.running.len() < seams.settings.concurrency.max(1)
            && let Some((_, work)) = self.waiting.start()
        {
            let token = work.claim.token;
            let (abort, running) = Self::run(seams, work);
            self.aborts.insert(token, abort);
            self.running.push(running);
        }
        let Poll::Ready(Some(mut ended)) = self.running.poll_next_unpin(context) else {
            return None;
        };
        let flow = FlowKey::of(&ended.work.completion);
        self.aborts.remove(&ended.work.claim.token);
        if matches!(ended.verdict, HandlerVerdict::Handled(_)) {
            self.waiting.done(flow.as_ref());
        } else {
            ended.behind = self.waiting.give_up(flow.as_ref());
        }
        Some(ended)
    }

    /// Calls the handler. The end of its patience, and an abort, end the call where it waits; what is returned ends with
    /// the call.
    fn run(seams: &Seams, work: Work) -> (AbortHandle, BoxFuture<'static, HandlerEnd>) {
        let handler = Arc::clone(&seams.handler);
        let patience = seams.timer.sleep(seams.settings.patience);
        let completion = work.completion.clone();
        let attempt = Attempt::new(work.claim.clone(), seams.settings.attempts);
        let call = Contained::<H, _>::new(Box::pin(async move {
            match handler.handle(&completion, &attempt).await {
                Ok(handled) => HandlerVerdict::Handled(handled),
                Err(error) => HandlerVerdict::Failed(ErrorText::of(&*error)),
            }
        }));
        let (abort, registration) = AbortHandle::new_pair();
        let (tell, told) = oneshot::channel();
        let task = Box::pin(async move {
            if let Ok(ended) = Abortable::new(call, registration).await {
                // A listener that is gone needs no answer.
                let _ = tell.send(ended.unwrap_or(HandlerVerdict::Panicked));
            }
        });
        let here: BoxFuture<'static, ()> = match &seams.runtime {
            Some(runtime) => {
                runtime.spawn(task);
                Box::pin(ready(()))
            }
            None => task,
        };
        let end = abort.clone();
        let running = Box::pin(async move {
            let ended = pin!(async { join(here, told).await.1 });
            let (ended, otherwise) = match select(ended, patience).await {
                Either::Left((ended, _)) => (ended, HandlerVerdict::Ended),
                Either::Right(((), ended)) => {
                    end.abort();
                    // A call that blocks its thread goes on, and so does its claim.
                    (ended.await, HandlerVerdict::Late)
                }
            };
            HandlerEnd {
                work,
                verdict: ended.unwrap_or(otherwise),
                behind: VecDeque::new(),
            }
        });
        (abort, running)
    }
}

impl<H> Drop for Handlers<H> {
    fn drop(&mut self) {
        // Those that run elsewhere.
        self.aborts.drain().for_each(|(_, abort)| abort.abort());
    }
}
