//! How a node behaves.

use core::time::Duration;

use super::clock::Windows;
use crate::envelope::Introduction;
use crate::member::{AgreedSettings, SigningSettings};

/// The most lanes a bus is divided into. Heartbeats report every lane that was used lately, in some 25
/// bytes each.
pub const MAX_LANES: u32 = 65_536;

/// The most bytes that the events kept by all nodes of a cluster are to have together: what a node that missed
/// everything has to receive again.
const KEPT_BY_ALL: usize = 240 << 20;

/// The most bytes per second that all nodes of a cluster send again together.
const REPAIRED_BY_ALL: usize = 16 << 20;

/// How a node behaves. The nodes of a cluster should agree on `heartbeat`, `time_to_live` and `lanes`: they tell each other,
/// and a difference is [said](crate::Notice::Differs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The time between two heartbeats, 2 s by default. A node that misses two of its own is not live any
    /// more and has its link rebuilt; a peer that misses two makes it degraded, and one that misses ten is no member any more.
    pub heartbeat: Duration,
    /// How late an event may arrive, or how long it may wait to be sent, counted from its publishing; 30 s by default.
    /// One that is later is dropped, and those that it was for are told.
    pub time_to_live: Duration,
    /// How many lanes the bus is divided into, 1 by default: every node subscribes to everything. With more, at
    /// most [`MAX_LANES`], a node subscribes to lane 0 and the lanes it has members on.
    pub lanes: u32,
    /// How long a lane stays subscribed after its last member here has left, 30 s by default.
    pub cool_down: Duration,
    /// The budget of the outgoing queue, and of the frames whose news waits to be taken, each in bytes, 8 MiB by
    /// default.
    pub queue: usize,
    /// How many bytes of what was sent are kept, for at most the time to live, to be sent again to a node that missed
    /// it; 8 MiB by default, and less in a cluster of more than 30 nodes. With 0 nothing is repaired.
    pub keep: usize,
    /// How many bytes of frames wait for others before them to be repaired, 8 MiB by default. What does not fit is
    /// dropped, and asked for again later.
    pub hold: usize,
    /// The most other nodes that have a place, 4,096 by default: each takes some 2 KiB, and 0.5 KiB for each further lane that
    /// it used. What further nodes publish does not come: the node is degraded while one is heard, connections are told once
    /// a heartbeat that they miss something, and answers are incomplete. Of nodes that nothing proves to live as many are kept
    /// track of besides, and 64 at least.
    pub peers: usize,
    /// How many nodes are to hear each other at least, this one among them, for the node to be live and ready: the fewest
    /// that the service would go on with. 0, the default, for any number. Nodes on two brokers that never met know it by
    /// this alone.
    pub expected_members: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(2),
            time_to_live: Duration::from_secs(30),
            lanes: 1,
            cool_down: Duration::from_secs(30),
            queue: 8 << 20,
            keep: 8 << 20,
            hold: 8 << 20,
            peers: 4_096,
            expected_members: 0,
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

    /// The introduction of a node that says no name yet.
    pub(super) fn introduction(&self) -> Introduction {
        Introduction::new(AgreedSettings {
            lanes: self.lanes,
            heartbeat: self.heartbeat,
            time_to_live: self.time_to_live,
            json_lane: false,
            signing: Some(SigningSettings::off()),
        })
    }

    /// How many bytes a node keeps that has so many members beside it.
    pub(super) fn kept_bytes(&self, members: usize) -> usize {
        self.keep.min(KEPT_BY_ALL / members.max(1))
    }

    /// How many bytes per second a node sends again that has so many members beside it.
    pub(super) fn repaired_bytes(members: usize) -> usize {
        REPAIRED_BY_ALL / members.max(1)
    }

    /// For how long a node with these heartbeats is not heard before what it sent last counts as lost: three of them at
    /// least, whatever the time to live.
    pub(super) fn lost_after(&self, every: Duration) -> Duration {
        self.time_to_live.max(every * 3)
    }

    /// How long a heartbeat lists a lane after its last use, and names a node that is not heard any more.
    pub(super) fn remembered(&self) -> Duration {
        self.remembered_of(self.heartbeat)
    }

    /// How long a node with these heartbeats is named and known that is not heard any more.
    pub(super) fn remembered_of(&self, every: Duration) -> Duration {
        self.time_to_live + every.max(self.heartbeat) * 3
    }

    /// How long the bounds count of the clock of a node with these heartbeats.
    pub(super) fn clock_windows(&self, every: Duration) -> Windows {
        Windows {
            now: every.max(self.heartbeat) * 4,
            lately: self.remembered_of(every),
        }
    }
}
