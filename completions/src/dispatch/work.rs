//! An execution under a lease of this listener.

use crate::ledger::Claim;
use crate::payload::{Completion, FlowId, Namespace};

/// An execution that was taken from the ledger.
pub(super) struct Work {
    pub(super) completion: Completion,
    pub(super) claim: Claim,
}

/// What tells a flow from every other: its id, in its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FlowKey(Option<Namespace>, FlowId);

impl FlowKey {
    /// The flow of an execution, if it has one.
    pub(super) fn of(completion: &Completion) -> Option<Self> {
        let flow = completion.flow.clone()?;
        Some(Self(completion.namespace.clone(), flow))
    }
}
