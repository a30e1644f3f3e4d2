//! What is claimed, handled and settled.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::{Context, Poll};
use core::time::Duration;

use futures::future::{Either, select};
use futures::stream::StreamExt;
use hashbrown::HashMap;

use super::{Claimed, Claiming, Dispatch, Running, Settled, Settling, Verdict};
use crate::contained::Contained;
use crate::deadline::in_time;
use crate::{FlowId, Handled};
use midplane_core::Host;

impl<H: Host> Dispatch<H> {
    pub(super) fn poll_claims(&mut self, context: &mut Context<'_>) -> bool {
        if self.claiming.is_none() {
            self.claiming = self.begin_claims();
        }
        let Some(claiming) = &mut self.claiming else {
            return false;
        };
        let Poll::Ready((jobs, until, answer)) = claiming.as_mut().poll(context) else {
            return false;
        };
        self.claiming = None;
        let Ok(claims) = answer else {
            self.shared.count(|counters| counters.unclaimed += 1);
            let walked = jobs.iter().filter(|job| job.walked).count();
            self.report(walked > 0, |report| report.errors += 1);
            self.settled(walked);
            for job in jobs {
                self.busy.remove(&job.completion.execution);
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
                    self.busy.remove(&job.completion.execution);
                    self.shared.count(|counters| counters.taken += 1);
                    self.report(job.walked, |report| report.no_op += 1);
                    self.settled(usize::from(job.walked));
                }
            }
        }
        true
    }

    /// Asks for the claims of what came meanwhile, in turns from the stream and the ledger, as far as there
    /// is room.
    fn begin_claims(&mut self) -> Option<Claiming> {
        let settings = self.listener.settings;
        let room = settings.queue.max(1).saturating_sub(self.lanes.len());
        let mut jobs = Vec::new();
        while jobs.len() < room {
            let before = jobs.len();
            jobs.extend(self.arrived.pop_front());
            if jobs.len() < room {
                jobs.extend(self.found.pop_front());
            }
            if jobs.len() == before {
                break;
            }
        }
        if jobs.is_empty() {
            return None;
        }
        let ids: Vec<_> = jobs
            .iter()
            .map(|job| job.completion.execution.clone())
            .collect();
        let ledger = Arc::clone(&self.listener.ledger);
        let timer = Arc::clone(&self.listener.timer);
        Some(Box::pin(async move {
            let until = timer.now() + settings.lease;
            let claims = ledger.claim(&ids, settings.lease);
            let answer = in_time(&*timer, settings.deadline, claims).await;
            (jobs, until, answer)
        }))
    }

    fn claimed(&mut self, claimed: Claimed) {
        if self.closing.is_some() {
            self.give_back(claimed);
        } else if claimed.job.known {
            self.busy.remove(&claimed.job.completion.execution);
            self.report(claimed.job.walked, |report| report.no_op += 1);
            self.handled.push(claimed.into());
        } else {
            let flow = claimed.job.completion.flow.clone();
            self.lanes.push(flow.as_ref(), claimed);
        }
    }

    pub(super) fn poll_handlers(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        while self.running.len() < self.listener.settings.concurrency.max(1)
            && let Some((flow, claimed)) = self.lanes.start()
        {
            moved = true;
            let left = claimed.until - self.listener.timer.now();
            if left < self.listener.settings.lease / 4 {
                self.ended(flow.as_ref(), claimed, &Verdict::Late);
            } else {
                self.running.push(self.run(flow, claimed, left));
            }
        }
        while let Poll::Ready(Some((flow, claimed, verdict))) =
            self.running.poll_next_unpin(context)
        {
            moved = true;
            if let Some(closing) = &mut self.closing {
                closing.drained.finished += 1;
            }
            self.ended(flow.as_ref(), claimed, &verdict);
        }
        moved
    }

    /// The handler's call, ended by its panic or its lease.
    fn run(&self, flow: Option<FlowId>, claimed: Claimed, left: Duration) -> Running {
        let handler = Arc::clone(&self.listener.handler);
        let lease = self.listener.timer.sleep(left);
        let completion = claimed.job.completion.clone();
        let call = Contained::<H, _>::new(Box::pin(async move {
            match handler.handle(&completion).await {
                Ok(handled) => Verdict::Handled(handled),
                Err(_) => Verdict::Failed,
            }
        }));
        Box::pin(async move {
            let verdict = match select(call, lease).await {
                Either::Left((Ok(verdict), _)) => verdict,
                Either::Left((Err(_), _)) => Verdict::Panicked,
                Either::Right(_) => Verdict::Late,
            };
            (flow, claimed, verdict)
        })
    }

    fn ended(&mut self, flow: Option<&FlowId>, claimed: Claimed, verdict: &Verdict) {
        let execution = &claimed.job.completion.execution;
        self.lanes.done(flow);
        self.busy.remove(execution);
        let handled = matches!(verdict, Verdict::Handled(_));
        if handled {
            self.window.insert(execution);
        }
        self.shared.count(|counters| match verdict {
            Verdict::Handled(Handled::Done) => counters.done += 1,
            Verdict::Handled(Handled::NoOp) => counters.no_op += 1,
            Verdict::Failed => counters.failed += 1,
            Verdict::Panicked => counters.panicked += 1,
            Verdict::Late => counters.late += 1,
        });
        self.report(claimed.job.walked, |report| match verdict {
            Verdict::Handled(Handled::Done) => report.reconciled += 1,
            Verdict::Handled(Handled::NoOp) => report.no_op += 1,
            _ => report.errors += 1,
        });
        if handled {
            self.handled.push(claimed.into());
        } else {
            self.give_back(claimed);
        }
    }

    pub(super) fn give_back(&mut self, claimed: Claimed) {
        self.busy.remove(&claimed.job.completion.execution);
        let failures = claimed.claim.failures;
        self.released
            .entry(failures)
            .or_default()
            .push(claimed.into());
    }

    pub(super) fn poll_settling(&mut self, context: &mut Context<'_>) -> bool {
        if self.settling.is_none() {
            self.settling = self.begin_settling();
        }
        let Some(settling) = &mut self.settling else {
            return false;
        };
        let Poll::Ready((walked, answered)) = settling.as_mut().poll(context) else {
            return false;
        };
        self.settling = None;
        if !answered {
            self.shared.count(|counters| counters.unsettled += 1);
            self.report(walked > 0, |report| report.errors += 1);
        }
        self.settled(walked);
        true
    }

    /// Settles everything of one kind that waits for it: what is handled first.
    fn begin_settling(&mut self) -> Option<Settling> {
        let (settled, pause) = if self.handled.is_empty() {
            let (failures, settled) = self.released.pop_first()?;
            let backoff = self.listener.settings.backoff;
            (settled, Some(backoff.wait(failures, &mut self.random)))
        } else {
            (mem::take(&mut self.handled), None)
        };
        let walked = settled.iter().filter(|settled| settled.walked).count();
        let claims: Vec<_> = settled.into_iter().map(|settled| settled.claim).collect();
        let ledger = Arc::clone(&self.listener.ledger);
        let timer = Arc::clone(&self.listener.timer);
        let deadline = self.listener.settings.deadline;
        Some(Box::pin(async move {
            let call = match pause {
                None => ledger.handled(&claims),
                Some(pause) => ledger.release(&claims, pause),
            };
            (walked, in_time(&*timer, deadline, call).await.is_ok())
        }))
    }
}

impl From<Claimed> for Settled {
    fn from(claimed: Claimed) -> Self {
        Self {
            walked: claimed.job.walked,
            claim: claimed.claim,
        }
    }
}
