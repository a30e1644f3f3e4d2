//! What may go wrong in a run.

use std::time::Duration;

/// One thing that goes wrong for a while, at one place or with the whole bus. Those that lose or delay frames affect
/// every lane, one lane alone, or a shard of two.
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
    /// Frames to one node take longer than every constant of the protocol.
    Slow,
    /// The bus forgets what one node subscribed.
    Forgotten,
    /// One process does not run, as one that was stopped.
    Stalled,
    /// The clock of one node stands while it runs.
    Stopped,
    /// The clock of one node stands while it runs, and then leaps to where it would be.
    CaughtUp,
    /// The clock of one node leaps ahead.
    Leapt,
    /// One machine is suspended: its process does not run, and its clock stands.
    Asleep,
    /// One process is killed, and another started.
    Crashed,
    /// One process is killed, and another started that is not let in for a while: its clients are there.
    Newborn,
    /// One more process is started, and not let in for a while: its clients are there.
    Born,
    /// What one node sends is lost for a while, and its process is killed while it sends that again.
    Repairing,
    /// One node is closed, and another started.
    Closed,
    /// One node is of a newer release: it sends events, messages and flags that the others do not know.
    Newer,
}

/// What a fault goes wrong with. There is one of each at a time, or one of each at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FaultyPart {
    Frames,
    Clock,
    Release,
    Node,
}

impl Fault {
    pub(super) fn part(self) -> FaultyPart {
        match self {
            Self::Lost | Self::Repeated | Self::Late => FaultyPart::Frames,
            Self::Newer => FaultyPart::Release,
            Self::Stopped | Self::CaughtUp | Self::Leapt => FaultyPart::Clock,
            _ => FaultyPart::Node,
        }
    }

    /// Whether a clock shows too little or too much afterwards, or meanwhile.
    pub(super) fn is_of_clock(self) -> bool {
        self == Self::Asleep || self.part() == FaultyPart::Clock
    }

    /// Whether what is sent meanwhile arrives when the fault is over.
    pub(super) fn delays(self) -> bool {
        matches!(
            self,
            Self::Held | Self::Stalled | Self::Stuck | Self::Asleep
        )
    }
}

/// The faults of frames, then those of links, the bus and processes, then those of clocks.
const EVERY_FAULT: &[Fault] = &[
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
    Fault::Slow,
    Fault::Forgotten,
    Fault::Stalled,
    Fault::Crashed,
    Fault::Newborn,
    Fault::Born,
    Fault::Repairing,
    Fault::Closed,
    Fault::Newer,
    Fault::Stopped,
    Fault::CaughtUp,
    Fault::Leapt,
    Fault::Asleep,
];

/// The number of faults of frames, and of those and the faults of links, the bus and processes.
const FRAME_FAULTS: usize = 3;
const STEADY_FAULTS: usize = 22;

/// The faults after which what was lost can be had again, if they are short enough.
const REPAIRABLE: &[Fault] = &[
    Fault::Repeated,
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
    Fault::Slow,
    Fault::Forgotten,
    Fault::Stalled,
    Fault::Born,
];

/// What goes wrong while clocks are wrong.
const CLOCKS_AND_LOSS: &[Fault] = &[
    Fault::Stopped,
    Fault::CaughtUp,
    Fault::Leapt,
    Fault::Asleep,
    Fault::Lost,
    Fault::Late,
    Fault::Cut,
    Fault::Deaf,
    Fault::Mute,
    Fault::Slow,
    Fault::Stalled,
];

/// What may go wrong in a run, and how the nodes are set up.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// The faults that are injected.
    pub faults: &'static [Fault],
    /// Whether all faults of a run together are shorter than what nodes keep: then nothing is lost, and nobody is told.
    pub within_the_window: bool,
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

/// The age at which an event is given up: as many heartbeats as by default.
pub(super) const TIME_TO_LIVE: Duration = Duration::from_millis(7_500);

impl Scenario {
    /// Nothing goes wrong.
    pub const NO_FAULTS: Self = Self {
        faults: &[],
        within_the_window: true,
        misbehaviour: false,
        cancels: false,
        lanes: 1,
        queue: 1 << 20,
    };

    /// Everything goes wrong that repair can make good.
    pub const WITHIN_THE_WINDOW: Self = Self {
        faults: REPAIRABLE,
        lanes: 4,
        ..Self::NO_FAULTS
    };

    /// Frames get lost, repeated and late.
    pub const LOSSY_BUS: Self = Self {
        faults: EVERY_FAULT.split_at(FRAME_FAULTS).0,
        within_the_window: false,
        ..Self::NO_FAULTS
    };

    /// Links and the bus break in every way, and processes with them.
    pub const BREAKING_LINKS: Self = Self {
        faults: EVERY_FAULT
            .split_at(STEADY_FAULTS)
            .0
            .split_at(FRAME_FAULTS)
            .1,
        ..Self::LOSSY_BUS
    };

    /// Clocks stand or leap, and nothing else goes wrong.
    pub const CLOCK_FAULTS: Self = Self {
        faults: EVERY_FAULT.split_at(STEADY_FAULTS).1,
        ..Self::LOSSY_BUS
    };

    /// Clocks stand or leap while frames are lost and links break.
    pub const CLOCKS_AND_LOSS: Self = Self {
        faults: CLOCKS_AND_LOSS,
        lanes: 4,
        ..Self::LOSSY_BUS
    };

    /// Nodes of two releases on a bus that fails now and then.
    pub const MIXED_RELEASES: Self = Self {
        faults: &[
            Fault::Newer,
            Fault::Newer,
            Fault::Lost,
            Fault::Cut,
            Fault::Mute,
        ],
        ..Self::LOSSY_BUS
    };

    /// Sinks misbehave in every way on a bus that works.
    pub const MISBEHAVING_SINKS: Self = Self {
        misbehaviour: true,
        cancels: true,
        ..Self::NO_FAULTS
    };

    /// Everything at once but clock faults, with a small queue.
    pub const EVERYTHING: Self = Self {
        faults: EVERY_FAULT.split_at(STEADY_FAULTS).0,
        misbehaviour: true,
        cancels: true,
        queue: 4_096,
        ..Self::LOSSY_BUS
    };

    /// Sets the number of lanes.
    #[must_use]
    pub const fn with_lanes(self, lanes: u32) -> Self {
        Self { lanes, ..self }
    }
}
