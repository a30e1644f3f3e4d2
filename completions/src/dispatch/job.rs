//! A completion on its way through a listener: arrived, claimed, settled.

use midplane_core::Instant;

use crate::ledger::Claim;
use crate::payload::Completion;

/// A completion that arrived and is not claimed.
pub(super) struct Job {
    pub(super) completion: Completion,
    /// Found by the reconciler; otherwise the stream brought it.
    pub(super) walked: bool,
    /// Handled by this listener before: only the record in the ledger is missing.
    pub(super) known: bool,
}

/// A completion under a lease of this listener.
pub(super) struct Claimed {
    pub(super) job: Job,
    pub(super) claim: Claim,
    /// The end of the lease by this listener's clock, no later than by the store's.
    pub(super) until: Instant,
}

/// A claim that is to be settled.
pub(super) struct Settled {
    pub(super) claim: Claim,
    pub(super) walked: bool,
}

impl From<Claimed> for Settled {
    fn from(claimed: Claimed) -> Self {
        Self {
            walked: claimed.job.walked,
            claim: claimed.claim,
        }
    }
}
