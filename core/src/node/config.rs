//! How a node behaves.

use core::time::Duration;

/// How a node behaves. The nodes of a cluster should agree on all but `queue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The time between two heartbeats, 2 s by default. A node that misses its own for twice as long has
    /// its session rebuilt; a peer that misses ten is no member any more.
    pub heartbeat: Duration,
    /// How late an event may arrive, or how long it may wait to be sent, 30 s by default. One that is
    /// later is dropped and lies in a gap.
    pub time_to_live: Duration,
    /// How many lanes the bus is divided into, 1 by default: every node hears everything.
    pub lanes: u32,
    /// The most that waits to be sent, and the most frames whose news waits to be taken, each in bytes,
    /// 8 MiB by default.
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
            queue: 8 << 20,
            peers: 1_024,
        }
    }
}
