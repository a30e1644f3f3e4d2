//! The calls that settle claims.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::{Context, Poll};
use core::time::Duration;

use futures::future::BoxFuture;
use midplane_core::{Backoff, Random};

use super::seams::Seams;
use crate::deadline::in_time;
use crate::error::BackendError;
use crate::ledger::{Claim, Settled, Verdict};

/// The pause before a call that was not answered is made again.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// Claims that wait to be settled, and at most one call to the ledger at a time.
pub(super) struct Settlement {
    waiting: Vec<Settled>,
    calling: Option<BoxFuture<'static, SettlementAnswer>>,
    pause: Option<BoxFuture<'static, ()>>,
    failures: u32,
    random: Random,
}

struct SettlementAnswer {
    settled: Vec<Settled>,
    answer: Result<(), BackendError>,
}

/// How a call that settles claims ended.
pub(super) enum SettlementProgress {
    /// The ledger did what was asked.
    Settled(Vec<Settled>),
    /// The ledger did not answer, and is asked again after a pause.
    Failed(BackendError),
}

impl Settlement {
    pub(super) fn new(seams: &Seams) -> Self {
        Self {
            waiting: Vec::new(),
            calling: None,
            pause: None,
            failures: 0,
            random: Random::from_clock(&*seams.timer),
        }
    }

    /// Has a claim settled.
    pub(super) fn push(&mut self, claim: Claim, verdict: Verdict) {
        self.waiting.push(Settled { claim, verdict });
    }

    /// Forgets a claim whose lease is over.
    pub(super) fn forget(&mut self, claim: &Claim) {
        self.waiting.retain(|settled| settled.claim != *claim);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.calling.is_none() && self.waiting.is_empty()
    }

    /// Calls the ledger with what waits, and gives the answer of a call that ended.
    pub(super) fn poll(
        &mut self,
        seams: &Seams,
        context: &mut Context<'_>,
    ) -> Option<SettlementProgress> {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(context).is_pending() {
                return None;
            }
            self.pause = None;
        }
        if self.calling.is_none() && !self.waiting.is_empty() {
            self.calling = Some(self.call(seams));
        }
        let Poll::Ready(answer) = self.calling.as_mut()?.as_mut().poll(context) else {
            return None;
        };
        self.calling = None;
        Some(match answer.answer {
            Ok(()) => {
                self.failures = 0;
                SettlementProgress::Settled(answer.settled)
            }
            Err(error) => {
                // In its order, before what came meanwhile.
                self.waiting.splice(0..0, answer.settled);
                let wait = AGAIN.wait(self.failures, &mut self.random);
                self.failures = self.failures.saturating_add(1);
                self.pause = Some(seams.timer.sleep(wait));
                SettlementProgress::Failed(error)
            }
        })
    }

    fn call(&mut self, seams: &Seams) -> BoxFuture<'static, SettlementAnswer> {
        let settled = mem::take(&mut self.waiting);
        let ledger = Arc::clone(&seams.ledger);
        let timer = Arc::clone(&seams.timer);
        let deadline = seams.settings.deadline;
        Box::pin(async move {
            let answer = in_time(&*timer, deadline, ledger.settle(&settled)).await;
            SettlementAnswer { settled, answer }
        })
    }
}
