//! The call that claims what arrived.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

use futures::future::BoxFuture;
use midplane_core::Instant;

use super::job::Job;
use super::seams::Seams;
use crate::deadline::in_time;
use crate::error::BackendError;
use crate::ledger::Claim;

/// At most one call to the ledger at a time.
pub(super) struct Claims {
    calling: Option<BoxFuture<'static, ClaimsAnswer>>,
}

/// What the ledger answered about some jobs.
pub(super) struct ClaimsAnswer {
    pub(super) jobs: Vec<Job>,
    /// The end of the leases, counted from before the call.
    pub(super) until: Instant,
    pub(super) answer: Result<Vec<Claim>, BackendError>,
}

impl Claims {
    pub(super) fn new() -> Self {
        Self { calling: None }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.calling.is_none()
    }

    /// Claims these jobs, if there are any.
    pub(super) fn begin(&mut self, seams: &Seams, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let ids: Vec<_> = jobs
            .iter()
            .map(|job| job.completion.execution.clone())
            .collect();
        let settings = seams.settings;
        let ledger = Arc::clone(&seams.ledger);
        let timer = Arc::clone(&seams.timer);
        self.calling = Some(Box::pin(async move {
            let until = timer.now() + settings.lease;
            let claims = ledger.claim(&ids, settings.lease);
            let answer = in_time(&*timer, settings.deadline, claims).await;
            ClaimsAnswer {
                jobs,
                until,
                answer,
            }
        }));
    }

    /// The answer, once it is there.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Option<ClaimsAnswer> {
        match self.calling.as_mut()?.as_mut().poll(context) {
            Poll::Pending => None,
            Poll::Ready(answer) => {
                self.calling = None;
                Some(answer)
            }
        }
    }
}
