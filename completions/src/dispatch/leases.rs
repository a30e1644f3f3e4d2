//! The claims that this listener holds, and the calls that renew them.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

use futures::future::BoxFuture;
use hashbrown::{HashMap, HashSet};
use midplane_core::Instant;

use super::seams::Seams;
use super::work::{FlowKey, Work};
use crate::deadline::in_time;
use crate::error::BackendError;
use crate::ledger::{Claim, OF_A_FLOW};
use crate::payload::ExecutionId;

/// Leases are renewed when this part of them has passed.
const RENEWED: u32 = 3;

/// Leases are looked at this often within one, and given up so long before they end.
const LOOKS: u32 = 12;

/// Claims by their tokens, at most one call to the ledger at a time.
pub(super) struct Leases {
    held: HashMap<u64, Held>,
    executions: HashSet<ExecutionId>,
    /// How many claims are held of each flow, and whether more of the flow is in the ledger.
    flows: HashMap<FlowKey, HeldFlow>,
    calling: Option<BoxFuture<'static, Renewal>>,
    /// When the last renewal began.
    renewed: Instant,
    look: Option<BoxFuture<'static, ()>>,
}

struct Held {
    claim: Claim,
    flow: Option<FlowKey>,
    /// The end of the lease by this listener's clock, no later than by the store's.
    until: Instant,
    settling: bool,
}

#[derive(Default)]
struct HeldFlow {
    claims: usize,
    more: bool,
}

struct Renewal {
    claims: Vec<Claim>,
    until: Instant,
    answer: Result<Vec<Claim>, BackendError>,
}

/// What happened to leases.
pub(super) enum LeaseProgress {
    /// The ledger answered, and these claims are void.
    Renewed(Vec<Claim>),
    /// The ledger did not answer.
    Failed(BackendError),
    /// Leases that are over, by the clock.
    Over(Vec<Claim>),
}

impl Leases {
    pub(super) fn new() -> Self {
        Self {
            held: HashMap::new(),
            executions: HashSet::new(),
            flows: HashMap::new(),
            calling: None,
            renewed: Instant::ZERO,
            look: None,
        }
    }

    /// How many claims are held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Holds the claim of this work until a moment; `more` says whether more of its flow may be in the ledger.
    pub(super) fn hold(&mut self, work: &Work, until: Instant, more: bool) {
        let flow = FlowKey::of(&work.completion);
        if let Some(flow) = &flow {
            let held = self.flows.entry(flow.clone()).or_default();
            held.claims += 1;
            // A flow of which so much came may have more.
            held.more |= more || held.claims >= OF_A_FLOW;
        }
        let claim = work.claim.clone();
        let held = Held {
            flow,
            until,
            settling: false,
            claim,
        };
        self.executions.insert(held.claim.execution.clone());
        self.held.insert(held.claim.token, held);
    }

    /// Whether claims of this flow are held. If so, more of the flow is in the ledger.
    pub(super) fn grows(&mut self, flow: &FlowKey) -> bool {
        let held = self.flows.get_mut(flow);
        held.map(|held| held.more = true).is_some()
    }

    /// Ends the claim, which was settled or lost. True when that was the last of a flow of which more is in the ledger.
    pub(super) fn end(&mut self, token: u64) -> bool {
        let Some(held) = self.held.remove(&token) else {
            return false;
        };
        self.executions.remove(&held.claim.execution);
        let Some(flow) = held.flow else {
            return false;
        };
        let Some(held) = self.flows.get_mut(&flow) else {
            return false;
        };
        held.claims -= 1;
        if held.claims > 0 {
            return false;
        }
        let more = held.more;
        self.flows.remove(&flow);
        more
    }

    /// Whether the execution is claimed here.
    pub(super) fn has(&self, execution: &ExecutionId) -> bool {
        self.executions.contains(execution)
    }

    /// Marks a claim whose settlement begins. False where it is not held any more.
    pub(super) fn settling(&mut self, token: u64) -> bool {
        let held = self.held.get_mut(&token);
        held.map(|held| held.settling = true).is_some()
    }

    /// Renews what is held, now and then, and gives what came of that.
    pub(super) fn poll(
        &mut self,
        seams: &Seams,
        context: &mut Context<'_>,
    ) -> Option<LeaseProgress> {
        let lease = seams.settings.lease;
        loop {
            if let Some(calling) = &mut self.calling
                && let Poll::Ready(renewal) = calling.as_mut().poll(context)
            {
                self.calling = None;
                return Some(self.answered(renewal));
            }
            if self.held.is_empty() {
                self.look = None;
                return None;
            }
            let now = seams.timer.now();
            let Some(look) = &mut self.look else {
                // Nothing that is held is older than this.
                self.renewed = now;
                self.look = Some(seams.timer.sleep(lease / LOOKS));
                continue;
            };
            if look.as_mut().poll(context).is_pending() {
                return None;
            }
            self.look = Some(seams.timer.sleep(lease / LOOKS));
            if self.calling.is_none() && now >= self.renewed + lease / RENEWED {
                self.renewed = now;
                self.calling = Some(self.renewal(seams));
            }
            let over = self.held.values();
            let over = over.filter(|held| held.until <= now + lease / LOOKS);
            let over: Vec<_> = over.map(|held| held.claim.clone()).collect();
            if !over.is_empty() {
                return Some(LeaseProgress::Over(over));
            }
        }
    }

    fn renewal(&self, seams: &Seams) -> BoxFuture<'static, Renewal> {
        let claims: Vec<_> = self.held.values().map(|held| held.claim.clone()).collect();
        let lease = seams.settings.lease;
        let deadline = seams.settings.deadline.min(lease / RENEWED);
        let ledger = Arc::clone(&seams.ledger);
        let timer = Arc::clone(&seams.timer);
        Box::pin(async move {
            let until = timer.now() + lease;
            let answer = in_time(&*timer, deadline, ledger.renew(&claims, lease)).await;
            Renewal {
                claims,
                until,
                answer,
            }
        })
    }

    fn answered(&mut self, renewal: Renewal) -> LeaseProgress {
        let lost = match renewal.answer {
            Ok(lost) => lost,
            Err(error) => {
                // The next look tries again.
                self.renewed = Instant::ZERO;
                return LeaseProgress::Failed(error);
            }
        };
        for claim in &renewal.claims {
            if let Some(held) = self.held.get_mut(&claim.token) {
                held.until = renewal.until;
            }
        }
        // What a settlement ended meanwhile is void, and not lost.
        let lost = lost.into_iter().filter(|claim| {
            let held = self.held.get(&claim.token);
            held.is_some_and(|held| !held.settling)
        });
        LeaseProgress::Renewed(lost.collect())
    }
}
