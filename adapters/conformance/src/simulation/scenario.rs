//! What may go wrong in a run.

use std::time::Duration;

use crate::history::{Accounting, Bounds};

/// One thing that goes wrong for a while, at one place or with the whole bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Some frames are lost.
    Lost,
    /// Some frames arrive twice.
    Repeated,
    /// Some frames are late, and overtaken by others.
    Late,
    /// The links of one node end.
    Cut,
    /// The bus is gone with every link, and comes back.
    Down,
    /// One node is not let in, having lost its link.
    Refused,
    /// Connecting hangs for one node, having lost its link.
    Hanging,
    /// Subscribing hangs for one node, having lost its link.
    Unanswered,
    /// Sending hangs for one node.
    Stuck,
    /// Frames to one node are lost without an error.
    Deaf,
    /// Frames from one node are lost without an error.
    Mute,
    /// Frames to and from one node are lost without an error.
    Apart,
    /// Frames to one node arrive when the fault ends.
    Held,
    /// The bus forgets what one node subscribed.
    Forgotten,
    /// One process does not run.
    Stalled,
    /// The clock of one node stands while it runs.
    Stopped,
    /// The clock of one node leaps ahead.
    Leapt,
    /// One machine sleeps: its process does not run, and its clock stands.
    Asleep,
    /// One process is killed, and another started.
    Crashed,
    /// One node is closed, and another started.
    Closed,
}

/// The faults of frames, then those of links, the bus and processes.
const BUS_FAULTS: &[Fault] = &[
    Fault::Lost,
    Fault::Repeated,
    Fault::Late,
    Fault::Cut,
    Fault::Down,
    Fault::Refused,
    Fault::Hanging,
    Fault::Unanswered,
    Fault::Stuck,
    Fault::Deaf,
    Fault::Mute,
    Fault::Apart,
    Fault::Held,
    Fault::Forgotten,
    Fault::Stalled,
    Fault::Crashed,
    Fault::Closed,
];

/// The number of faults of frames.
const FRAME_FAULTS: usize = 3;

/// What may go wrong in a run, and how the nodes are set up.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// The faults that are injected.
    pub faults: &'static [Fault],
    /// Whether sinks may say that they are full or closed, panic, and attach, detach or publish from inside.
    pub misbehaviour: bool,
    /// Whether futures are dropped before they are ready.
    pub cancels: bool,
    /// The number of lanes.
    pub lanes: u32,
    /// The most bytes that may wait in a node to be sent.
    pub queue: usize,
}

/// The time between two heartbeats.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(500);

/// The age at which an event is given up.
pub(super) const TIME_TO_LIVE: Duration = Duration::from_secs(5);

/// The longest fault: longer than any event lives.
pub(super) const LONGEST: Duration = Duration::from_secs(7);

impl Scenario {
    /// Nothing goes wrong.
    pub const NO_FAULTS: Self = Self {
        faults: &[],
        misbehaviour: false,
        cancels: false,
        lanes: 1,
        queue: 1 << 20,
    };

    /// Frames get lost, repeated and late.
    pub const LOSSY_BUS: Self = Self {
        faults: BUS_FAULTS.split_at(FRAME_FAULTS).0,
        ..Self::NO_FAULTS
    };

    /// Links and the bus break in every way, and processes with them.
    pub const BREAKING_LINKS: Self = Self {
        faults: BUS_FAULTS.split_at(FRAME_FAULTS).1,
        ..Self::NO_FAULTS
    };

    /// Clocks stand or leap, and nothing else goes wrong.
    pub const CLOCK_FAULTS: Self = Self {
        faults: &[Fault::Stopped, Fault::Leapt, Fault::Asleep],
        ..Self::NO_FAULTS
    };

    /// Sinks misbehave in every way on a bus that works.
    pub const MISBEHAVING_SINKS: Self = Self {
        misbehaviour: true,
        cancels: true,
        ..Self::NO_FAULTS
    };

    /// Everything at once, with a small queue.
    pub const EVERYTHING: Self = Self {
        faults: BUS_FAULTS,
        misbehaviour: true,
        cancels: true,
        lanes: 1,
        queue: 4_096,
    };

    /// Sets the number of lanes.
    #[must_use]
    pub const fn with_lanes(self, lanes: u32) -> Self {
        Self { lanes, ..self }
    }

    /// What a run is held to.
    pub(super) fn bounds(&self) -> Bounds {
        let patient = self.faults.iter().any(|fault| {
            matches!(
                fault,
                Fault::Held | Fault::Stalled | Fault::Stuck | Fault::Asleep
            )
        });
        // What another node did is dated by clocks that may stand or leap a few times.
        let clocks = [Fault::Stopped, Fault::Leapt, Fault::Asleep];
        let clock = self.faults.iter().any(|fault| clocks.contains(fault));
        let slow = Duration::from_millis(400);
        Bounds {
            heartbeat: HEARTBEAT,
            time_to_live: TIME_TO_LIVE,
            lanes: self.lanes,
            delay: if patient { LONGEST + slow } else { slow },
            notice: HEARTBEAT * 3 + Duration::from_millis(50),
            queue: self.queue as u64,
            heal: HEARTBEAT * 10,
            accounting: Accounting::Connection,
            whole: None,
            clock: if clock {
                LONGEST * 4
            } else {
                Duration::from_millis(10)
            },
        }
    }
}
