//! The calls that settle claims: as handled, or as released for another try.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::{Context, Poll};

use futures::future::BoxFuture;
use midplane_core::Random;

use super::job::{Claimed, Settled};
use super::seams::Seams;
use crate::deadline::in_time;

/// Claims that wait to be settled, and at most one call to the ledger at a time.
pub(super) struct Settlement {
    handled: Vec<Settled>,
    /// By how often their executions failed before.
    released: BTreeMap<u32, Vec<Settled>>,
    calling: Option<BoxFuture<'static, SettlementAnswer>>,
    random: Random,
}

/// How a call that settles claims ended.
pub(super) struct SettlementAnswer {
    /// How many of the claims a walk found.
    pub(super) walked: usize,
    /// The ledger did what was asked.
    pub(super) answered: bool,
}

impl Settlement {
    pub(super) fn new(seams: &Seams) -> Self {
        Self {
            handled: Vec::new(),
            released: BTreeMap::new(),
            calling: None,
            random: Random::from_clock(&*seams.timer),
        }
    }

    /// Has the execution recorded as handled.
    pub(super) fn handled(&mut self, claimed: Claimed) {
        self.handled.push(claimed.into());
    }

    /// Has the execution released for another try.
    pub(super) fn release(&mut self, claimed: Claimed) {
        let failures = claimed.claim.failures;
        let released = self.released.entry(failures).or_default();
        released.push(claimed.into());
    }

    pub(super) fn is_idle(&self) -> bool {
        self.calling.is_none() && self.handled.is_empty() && self.released.is_empty()
    }

    /// Calls the ledger with what waits, and gives the answer of a call that ended.
    pub(super) fn poll(
        &mut self,
        seams: &Seams,
        context: &mut Context<'_>,
    ) -> Option<SettlementAnswer> {
        if self.calling.is_none() {
            self.calling = self.begin(seams);
        }
        match self.calling.as_mut()?.as_mut().poll(context) {
            Poll::Pending => None,
            Poll::Ready(answer) => {
                self.calling = None;
                Some(answer)
            }
        }
    }

    /// Settles everything of one kind: what is handled first, then what failed, the seldom failed first.
    fn begin(&mut self, seams: &Seams) -> Option<BoxFuture<'static, SettlementAnswer>> {
        let (settled, pause) = if self.handled.is_empty() {
            let (failures, settled) = self.released.pop_first()?;
            let backoff = seams.settings.backoff;
            (settled, Some(backoff.wait(failures, &mut self.random)))
        } else {
            (mem::take(&mut self.handled), None)
        };
        let walked = settled.iter().filter(|settled| settled.walked).count();
        let claims: Vec<_> = settled.into_iter().map(|settled| settled.claim).collect();
        let ledger = Arc::clone(&seams.ledger);
        let timer = Arc::clone(&seams.timer);
        let deadline = seams.settings.deadline;
        Some(Box::pin(async move {
            let call = match pause {
                None => ledger.handled(&claims),
                Some(pause) => ledger.release(&claims, pause),
            };
            let answered = in_time(&*timer, deadline, call).await.is_ok();
            SettlementAnswer { walked, answered }
        }))
    }
}
