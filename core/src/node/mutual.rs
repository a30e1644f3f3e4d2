//! Whether a member and this node hear each other.

use core::time::Duration;

use crate::time::Instant;

/// How much later than it is due a heartbeat may come.
pub(super) fn slack(every: Duration) -> Duration {
    (every / 8).max(Duration::from_millis(200))
}

/// What this node knows of how a member and it hear each other.
#[derive(Debug, Default)]
pub(super) struct Mutual {
    /// When the member was heard last, if it was given up since, and the newest stamp of it that others heard since, and
    /// when they said so.
    pub(super) silent: Option<Instant>,
    pub(super) vouched: Option<(Duration, Instant)>,
    /// Since when the member does not hear us.
    pub(super) deaf: Option<Instant>,
    /// Whether its newest heartbeat said that it gave us up.
    pub(super) accuses: bool,
    /// When the newest frame of ours was made that the member named.
    pub(super) echoed: Option<Instant>,
    /// When we asked last to hear the member.
    pub(super) asked: Option<Instant>,
    /// Whether the member is ready, whether it is blamed, and how many members and it hear each other.
    pub(super) ready: bool,
    pub(super) blamed: bool,
    pub(super) rank: u32,
}
