//! Starting and finishing executions, for programs that have no transaction of their own.

use alloc::boxed::Box;
use core::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{ExecutionId, FlowId, Namespace, Outcome, ProduceError, Tag};

/// The store's own way to record that an execution started or finished.
///
/// Finishing changes the state of the execution and the history of completions in one atomic step of the
/// store, so there is no completion of what did not happen. A program that does its work in a transaction
/// of the store calls the same procedures inside it instead, as the backend's documentation says.
///
/// Every call may be repeated: a call that finds its work done reports [`Change::AlreadySo`], for as long as the store knows
/// the execution. A store knows an execution until every [group](crate::Groups) has handled it, and after that for as long as
/// its retention says, which the store's documentation states. A finish that is repeated later is refused with
/// [`ProduceError::Unknown`], and completes nothing a second time; an execution that is started again under the same id is
/// another one. So give each execution an id of its own, and repeat calls no longer than retention lasts.
#[async_trait]
pub trait Producer: Send + Sync + fmt::Debug + 'static {
    /// Records that the execution started. An execution that is started already keeps what it was started
    /// with.
    ///
    /// # Errors
    /// [`ProduceError::Illegal`] when the execution has finished.
    async fn start(&self, execution: &Execution) -> Result<Change, ProduceError>;

    /// Records that the execution finished with this outcome, one of [`Outcome::KNOWN`], and these bytes.
    ///
    /// # Errors
    /// [`ProduceError::Unknown`] when the execution was never started, [`ProduceError::Illegal`] when it
    /// finished with another outcome or other bytes, [`ProduceError::Unfit`] when the outcome is not known or the bytes
    /// are too many.
    async fn finish(
        &self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<Change, ProduceError>;
}

const _: fn(&dyn Producer) = |_| ();

macro_rules! endings {
    ($($function:ident $outcome:ident $how:literal),+) => {
        impl dyn Producer {
            $(
                #[doc = concat!("Records that the execution ", $how, ".")]
                ///
                /// # Errors
                /// The errors of [`finish`](Producer::finish).
                pub async fn $function(
                    &self,
                    execution: &ExecutionId,
                    bytes: Option<Bytes>,
                ) -> Result<Change, ProduceError> {
                    self.finish(execution, &Outcome::$outcome, bytes).await
                }
            )+
        }
    };
}

endings!(
    complete Success "succeeded",
    fail Failure "failed for good",
    cancel Cancelled "was called off",
    expire Expired "ran out of time",
    skip Skipped "was not needed"
);

/// Whether a producer's call changed the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The store changed.
    Made,
    /// The store had recorded the same before.
    AlreadySo,
}

/// An execution that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Execution {
    /// The id, never used before in this store.
    pub id: ExecutionId,
    /// The flow of the execution.
    pub flow: Option<FlowId>,
    /// The part of the store that the execution belongs to.
    pub namespace: Option<Namespace>,
    /// A label for listeners to choose by.
    pub tag: Option<Tag>,
}

impl Execution {
    /// An execution without anything optional.
    #[must_use]
    pub const fn new(id: ExecutionId) -> Self {
        Self {
            id,
            flow: None,
            namespace: None,
            tag: None,
        }
    }

    /// Sets the flow.
    #[must_use]
    pub fn with_flow(mut self, flow: FlowId) -> Self {
        self.flow = Some(flow);
        self
    }

    /// Sets the namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Sets the tag.
    #[must_use]
    pub fn with_tag(mut self, tag: Tag) -> Self {
        self.tag = Some(tag);
        self
    }
}
