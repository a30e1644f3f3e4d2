//! What may go wrong in a run of the protocol.

use std::time::Duration;

use midplane::node::Config;

use super::process::STEP;
use crate::history::{Accounting, Bounds};

/// What may go wrong in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProtocolFaults {
    /// Frames are lost, repeated, delayed by up to 1 s and reordered.
    pub lossy: bool,
    /// Links end, and nodes do not receive from or do not reach the bus, for up to 10 s each time.
    pub breaks: bool,
    /// Processes are killed, and others started.
    pub crashes: bool,
    /// An unknown sender puts forged frames on the bus.
    pub forged: bool,
    /// Processes do not run for up to 40 s, and then receive what arrived meanwhile.
    pub stalls: bool,
    /// The bus stands still for up to 40 s, and then delivers what it was given meanwhile.
    pub standstills: bool,
    /// There are three lanes instead of one.
    pub lanes: bool,
    /// The first node is of a later release: it also sends frames of another version, and messages of another
    /// kind.
    pub mixed: bool,
}

impl ProtocolFaults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        lossy: false,
        breaks: false,
        crashes: false,
        forged: false,
        stalls: false,
        standstills: false,
        lanes: false,
        mixed: false,
    };

    pub(super) fn config(&self) -> Config {
        Config {
            lanes: if self.lanes { 3 } else { 1 },
            ..Config::default()
        }
    }

    /// What a run is held to.
    pub(super) fn bounds(&self) -> Bounds {
        let config = self.config();
        Bounds {
            heartbeat: config.heartbeat,
            time_to_live: config.time_to_live,
            lanes: config.lanes,
            // A frame that waits for a process or a bus that stands still lies in that node's own report.
            delay: Duration::from_secs(u64::from(self.lossy)),
            // Two heartbeats, and an eighth of one for their return.
            notice: config.heartbeat * 2 + config.heartbeat / 8 + 2 * STEP,
            queue: config.queue as u64,
            // A forged number is refuted within eight heartbeats after the last forgery.
            heal: config.heartbeat * 9,
            accounting: Accounting::Node,
            whole: None,
            clock: Duration::ZERO,
        }
    }
}
