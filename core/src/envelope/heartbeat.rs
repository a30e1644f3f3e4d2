//! The sign of life of a node, and the request to send events again.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::field::{append, micros};
use super::parts::Reader;
use crate::node_id::NodeId;

/// The most runs that one ask names.
pub const MAX_RUNS: usize = 32;

/// The most bytes that the name of a version has, and the most items of each list but the one of lanes.
const MAX_VERSION: usize = 64;
pub(super) const MAX_NODES: usize = 1_024;
const MAX_LANES: usize = 65_536;

const HELLO: u8 = 1;
const GOODBYE: u8 = 2;
const PARTIAL: u8 = 4;

/// The state of a node, as the node sends it every few seconds. Its time is the stamp of its frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// The software's version, for people; at most 64 bytes.
    pub version: String,
    /// Whether the origin has just come and asks every node for a heartbeat.
    pub hello: bool,
    /// Whether the origin leaves for good: nothing follows.
    pub goodbye: bool,
    /// Whether other lanes are listed in heartbeats right before or behind this one, for they do not fit one frame.
    pub partial: bool,
    /// From when on, on the origin's clock, every lane that was used is listed. A lane that is not listed is as it was.
    pub since: Duration,
    /// What the origin sent, lane by lane.
    pub lanes: Vec<LaneProgress>,
    /// Which nodes the origin heard, as far as there is room.
    pub heard: Vec<Heard>,
    /// Which nodes left lately.
    pub left: Vec<Left>,
}

/// How far an origin's numbers had come on one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneProgress {
    /// The lane.
    pub lane: u32,
    /// The last number that was used.
    pub last: u64,
    /// When, on the origin's clock, the last number was used.
    pub at: Duration,
    /// How many numbers up to the last the origin can send again.
    pub keeps: u64,
    /// When the newest number was used that the origin cannot send again; zero if there is none.
    pub gone: Duration,
}

/// A node that another one heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The node that was heard.
    pub node: NodeId,
    /// The stamp of the newest heartbeat or ask of the node that was heard.
    pub stamp: Duration,
    /// How long ago it was heard.
    pub ago: Duration,
}

/// A node that said goodbye to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The node that left.
    pub node: NodeId,
    /// How long ago it left.
    pub ago: Duration,
    /// The last number of each lane that the node used, and when, on that node's clock. How far back the list goes
    /// [`Departures`](super::Departures) say.
    pub lanes: Vec<(u32, u64, Duration)>,
}

/// A request to an origin to send events again, under their numbers and on their lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The origin that is asked.
    pub to: NodeId,
    /// What is asked for; at most [`MAX_RUNS`].
    pub runs: Vec<AskedRun>,
}

/// Numbers of one lane that are asked for, both ends among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedRun {
    /// The lane.
    pub lane: u32,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
    /// Only frames stamped from then on, on the origin's clock, are asked for.
    pub after: Duration,
}

impl Heartbeat {
    pub(super) fn append(&self, bytes: &mut Vec<u8>) {
        let flags = u8::from(self.hello) * HELLO + u8::from(self.goodbye) * GOODBYE;
        let flags = flags + u8::from(self.partial) * PARTIAL;
        append(bytes, &(&self.version, flags, micros(self.since)));
        append(bytes, &(self.lanes.len() as u32));
        for lane in &self.lanes {
            let times = (micros(lane.at), lane.keeps, micros(lane.gone));
            append(bytes, &(lane.lane, lane.last, times));
        }
        append(bytes, &(self.heard.len() as u32));
        for heard in &self.heard {
            append(bytes, &(heard.node, micros(heard.stamp), micros(heard.ago)));
        }
        append(bytes, &(self.left.len() as u32));
        for left in &self.left {
            append(
                bytes,
                &(left.node, micros(left.ago), left.lanes.len() as u32),
            );
            for (lane, last, at) in &left.lanes {
                append(bytes, &(lane, last, micros(*at)));
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (version, flags, since): (&str, u8, u64) = reader.take()?;
        (version.len() <= MAX_VERSION).then_some(())?;
        Some(Self {
            version: version.into(),
            hello: flags & HELLO > 0,
            goodbye: flags & GOODBYE > 0,
            partial: flags & PARTIAL > 0,
            since: Duration::from_micros(since),
            lanes: reader.list(MAX_LANES, LaneProgress::read)?,
            heard: reader.list(MAX_NODES, Heard::read)?,
            left: reader.list(MAX_NODES, Left::read)?,
        })
    }
}

impl LaneProgress {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (lane, last, at, keeps, gone) = reader.take()?;
        // No more numbers are kept than were used.
        (keeps <= last).then_some(Self {
            lane,
            last,
            at: Duration::from_micros(at),
            keeps,
            gone: Duration::from_micros(gone),
        })
    }
}

impl Heard {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (node, stamp, ago) = reader.take()?;
        Some(Self {
            node,
            stamp: Duration::from_micros(stamp),
            ago: Duration::from_micros(ago),
        })
    }
}

impl Left {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (node, ago) = reader.take()?;
        let lanes = reader.list(MAX_LANES, |reader| {
            let (lane, last, at) = reader.take()?;
            Some((lane, last, Duration::from_micros(at)))
        })?;
        Some(Self {
            node,
            ago: Duration::from_micros(ago),
            lanes,
        })
    }
}

impl Ask {
    pub(super) fn append(&self, bytes: &mut Vec<u8>) {
        append(bytes, &(self.to, self.runs.len() as u32));
        for run in &self.runs {
            append(bytes, &(run.lane, run.first, run.last, micros(run.after)));
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            to: reader.take()?,
            runs: reader.list(MAX_RUNS, AskedRun::read)?,
        })
    }
}

impl AskedRun {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (lane, first, last, after) = reader.take()?;
        (first <= last).then_some(Self {
            lane,
            first,
            last,
            after: Duration::from_micros(after),
        })
    }
}
