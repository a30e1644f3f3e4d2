//! How a node behaves.

use core::time::Duration;

/// The most lanes a bus is divided into. Heartbeats report every lane that was used lately, in some 15
/// bytes each.
pub const MAX_LANES: u32 = 65_536;

/// How many earlier heartbeats a heartbeat lists the progress of each lane for: three may be lost in a row, and the
/// next one still shows every loss.
pub(super) const HISTORY: usize = 4;

/// How slow the fastest frame of an origin may have been, and by how much one on another lane may have
/// overtaken it.
pub(super) const SLACK: Duration = Duration::from_secs(1);

/// How a node behaves. The nodes of a cluster should agree on all but `queue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The time between two heartbeats, 2 s by default. A node that misses two of its own is not live any
    /// more and has its link rebuilt; a peer that misses ten is no member any more.
    pub heartbeat: Duration,
    /// How late an event may arrive, or how long it may wait to be sent, 30 s by default. One that is
    /// later is dropped and lies in a gap.
    pub time_to_live: Duration,
    /// How many lanes the bus is divided into, 1 by default: every node subscribes to everything. With more, at
    /// most [`MAX_LANES`], a node subscribes to lane 0 and the lanes it has members on.
    pub lanes: u32,
    /// How long a lane stays subscribed after its last member here has left, 30 s by default.
    pub cool_down: Duration,
    /// The budget of the outgoing queue, and of the frames whose news waits to be taken, each in bytes, 8 MiB by
    /// default.
    pub queue: usize,
    /// The most other nodes that are kept track of, 1,024 by default.
    pub peers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(2),
            time_to_live: Duration::from_secs(30),
            lanes: 1,
            cool_down: Duration::from_secs(30),
            queue: 8 << 20,
            peers: 1_024,
        }
    }
}

impl Config {
    /// Brings every figure within its bounds.
    pub(crate) fn checked(self) -> Self {
        Self {
            lanes: self.lanes.clamp(1, MAX_LANES),
            ..self
        }
    }
}
