//! [`Completion`], and the ids, outcomes and times in it.

use alloc::sync::Arc;
use core::convert::Infallible;
use core::fmt;
use core::str::FromStr;

use bytes::Bytes;

use midplane_core::id;

use crate::Cursor;

id! {
    /// One run of one job. An execution finishes at most once, so its id tells repeated completions.
    ExecutionId
}
id! {
    /// A flow of executions, whose completions are handled in order.
    FlowId
}
id! {
    /// The part of a shared store that an execution belongs to.
    Namespace
}
id! {
    /// A label that producers put on executions for listeners to choose by.
    Tag
}

/// How an execution ended.
///
/// As text the outcomes are `success`, `failure`, `cancelled`, `expired` and `skipped`. A store may know
/// others, of a newer version perhaps: their text is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The execution did what it was for.
    Success,
    /// The execution failed for good.
    Failure,
    /// The execution was called off.
    Cancelled,
    /// The execution's time ran out.
    Expired,
    /// The execution was not run, since it was not needed.
    Skipped,
    /// An outcome that this version has no name for.
    Other(OtherOutcome),
}

/// The text of an outcome that this version has no name for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OtherOutcome(Arc<str>);

impl Outcome {
    /// The five outcomes that a producer can name.
    pub const KNOWN: [Self; 5] = [
        Self::Success,
        Self::Failure,
        Self::Cancelled,
        Self::Expired,
        Self::Skipped,
    ];

    /// The outcome in text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Skipped => "skipped",
            Self::Other(other) => &other.0,
        }
    }
}

impl From<&str> for Outcome {
    /// The outcome that the text names exactly; any other text is kept as it is.
    fn from(text: &str) -> Self {
        Self::KNOWN
            .into_iter()
            .find(|known| known.as_str() == text)
            .unwrap_or_else(|| Self::Other(OtherOutcome(text.into())))
    }
}

impl FromStr for Outcome {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for OtherOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A moment by the clock of the store: microseconds since the start of 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment this many microseconds after the start of 1970, UTC.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start of 1970, UTC.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

/// The record that an execution finished.
///
/// ```
/// use midplane_completions::{Completion, ExecutionId, FlowId, Outcome, Timestamp};
///
/// let completion = Completion::new(ExecutionId::new("e1")?, Outcome::Success, Timestamp::default())
///     .with_bytes("what it made")
///     .with_flow(FlowId::new("f1")?);
/// assert_eq!(completion.outcome, Outcome::from("success"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// The execution that finished.
    pub execution: ExecutionId,
    /// How the execution ended.
    pub outcome: Outcome,
    /// When the producer recorded the end, by the store's clock.
    pub produced_at: Timestamp,
    /// What the producer recorded with it: a result, an error, or a hint where to look.
    pub bytes: Option<Bytes>,
    /// The flow of the execution.
    pub flow: Option<FlowId>,
    /// The part of the store that the execution belongs to.
    pub namespace: Option<Namespace>,
    /// The label that the execution was started with.
    pub tag: Option<Tag>,
    /// The place in the backend's history; `None` where the backend keeps none.
    pub cursor: Option<Cursor>,
}

impl Completion {
    /// A completion without anything optional.
    #[must_use]
    pub const fn new(execution: ExecutionId, outcome: Outcome, produced_at: Timestamp) -> Self {
        Self {
            execution,
            outcome,
            produced_at,
            bytes: None,
            flow: None,
            namespace: None,
            tag: None,
            cursor: None,
        }
    }

    /// Sets the bytes.
    #[must_use]
    pub fn with_bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.bytes = Some(bytes.into());
        self
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

    /// Sets the place in the history.
    #[must_use]
    pub fn with_cursor(mut self, cursor: Cursor) -> Self {
        self.cursor = Some(cursor);
        self
    }
}

/// Shows the length of the bytes, and not the bytes, which are the program's.
impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("execution", &self.execution)
            .field("outcome", &self.outcome)
            .field("produced_at", &self.produced_at)
            .field("bytes", &self.bytes.as_ref().map(Bytes::len))
            .field("flow", &self.flow)
            .field("namespace", &self.namespace)
            .field("tag", &self.tag)
            .field("cursor", &self.cursor)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn promise_9_an_unknown_outcome_keeps_its_text() {
        for known in Outcome::KNOWN {
            assert_eq!(Outcome::from(known.as_str()), known);
        }
        for text in ["Success", "success ", "", "paused", "vervollständigt"] {
            let outcome = Outcome::from(text);
            assert!(matches!(outcome, Outcome::Other(_)), "{text:?}");
            assert_eq!(outcome.to_string(), text);
        }
    }
}
