//! What operators ask for of the notices of the backplane.

use midplane::Instant;

/// What the notices of the backplane say: the last state and reason, and how many links ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct NoticeLog {
    /// When the state changed last, on the runtime's clock.
    pub(crate) since: Instant,
    /// Why the last link with the bus ended or was not opened.
    pub(crate) bus: Option<String>,
    /// Links that ended or were not opened.
    pub(crate) failures: u64,
}
