//! What became of one node.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use midplane::envelope::NodeId;

use super::point::Point;

/// What became of one node: its reports, its end, and what arrived at it.
#[derive(Debug, Default)]
pub(super) struct NodeTimeline {
    /// When it started, as far as that is recorded.
    pub(super) started: Duration,
    pub(super) ended: Option<Point>,
    pub(super) closing: Option<Point>,
    /// The events that its close reported as not sent; `None` if the node crashed or lives.
    pub(super) unsent: Option<usize>,
    pub(super) states: Vec<(Point, bool)>,
    pub(super) gaps: Vec<Gap>,
    pub(super) deaf: Vec<Deaf>,
    /// When it reported that another node is a member from now on, or is not heard any more.
    pub(super) members: Vec<(Point, NodeId, bool)>,
    /// From when until when the node's clock stood, each time that it did, and when it leapt.
    pub(super) clock_stood: Vec<(Duration, Duration)>,
    pub(super) clock_leapt: Vec<Duration>,
    /// When the node could not hear the bus.
    pub(super) must_not_be_live: Vec<(Point, Option<Point>)>,
    /// By origin and lane, the numbers of the delivered events.
    pub(super) by_number: HashMap<(NodeId, u32), Arrivals>,
    /// By publisher and lane, the publisher's numbers of the delivered events.
    pub(super) by_publisher: HashMap<(u32, u32), Arrivals>,
    /// By origin and lane, the frames of which an event was delivered.
    pub(super) frames: HashMap<(NodeId, u32), BTreeSet<u64>>,
    /// When an unknown sender sent to the node in the name of an origin, by origin and lane.
    pub(super) impersonated: BTreeMap<(NodeId, u32), Vec<Duration>>,
}

impl NodeTimeline {
    pub(super) fn first_live(&self) -> Option<Point> {
        let live = self.states.iter().find(|(_, live)| *live);
        live.map(|(point, _)| *point)
    }

    /// The first part of this time in which the node was not live though it missed no member. `missed` says until when one is
    /// missed at most that went silent at the first moment, by what is known at the second.
    pub(super) fn first_alone(
        &self,
        from: Duration,
        until: Duration,
        missed: impl Fn(NodeId, Duration, Duration) -> Duration,
    ) -> Option<(Duration, Duration)> {
        let mut begin = from;
        while let Some((since, to)) = self.first_time(false, begin, until) {
            let Some(until) = self.missing(since, &missed) else {
                return Some((since, to));
            };
            begin = until;
        }
        None
    }

    /// Until when a member is missing that was at this moment, or soon after.
    fn missing(
        &self,
        at: Duration,
        missed: impl Fn(NodeId, Duration, Duration) -> Duration,
    ) -> Option<Duration> {
        const SOON: Duration = Duration::from_millis(500);
        let silent = self.members.iter().filter(|(.., heard)| !heard);
        let ends = silent.filter_map(|(point, node, _)| {
            let mut later = self
                .members
                .iter()
                .filter(|(back, of, heard)| *heard && of == node && back.at >= point.at);
            let back = later
                .next()
                .map_or(Duration::MAX, |(back, ..)| back.at + SOON);
            let end = back.min(missed(*node, point.at, at));
            (point.at <= at + SOON && at < end).then_some(end)
        });
        ends.max()
    }

    /// The first part of this time in which the node was live, or was not.
    pub(super) fn first_time(
        &self,
        live: bool,
        from: Duration,
        until: Duration,
    ) -> Option<(Duration, Duration)> {
        let reported = self.states.iter().map(|(point, live)| (point.at, *live));
        let ends = self.states.iter().map(|(point, _)| point.at);
        std::iter::once((Duration::ZERO, false))
            .chain(reported)
            .zip(ends.chain([Duration::MAX]))
            .filter(|((_, state), _)| *state == live)
            .map(|((begin, _), end)| (begin.max(from), end.min(until)))
            .find(|(begin, end)| begin < end)
    }
}

/// Which numbers of one rising sequence arrived, and where first.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    first: BTreeMap<u64, Point>,
    /// The numbers that were the highest so far as they arrived.
    rising: BTreeMap<u64, Point>,
}

impl Arrivals {
    pub(super) fn insert(&mut self, number: u64, point: Point) {
        self.first.entry(number).or_insert(point);
        let highest = self.rising.last_key_value();
        if highest.is_none_or(|(highest, _)| *highest < number) {
            self.rising.insert(number, point);
        }
    }

    /// The lowest of these numbers that arrived.
    pub(super) fn any_of(&self, first: u64, last: u64) -> Option<(u64, Point)> {
        let mut range = self.first.range(first..=last);
        range.next().map(|(number, point)| (*number, *point))
    }

    /// Where a number above this one arrived first.
    pub(super) fn above(&self, number: u64) -> Option<Point> {
        let mut higher = self.rising.range(number.checked_add(1)?..);
        higher.next().map(|(_, point)| *point)
    }
}

/// A gap that the node reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    pub(super) reported: Point,
    pub(super) origin: NodeId,
    pub(super) lane: u32,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) published: Option<(Duration, Duration)>,
}

/// A time of deafness that the node reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deaf {
    pub(super) reported: Point,
    pub(super) origin: Option<NodeId>,
    pub(super) lane: Option<u32>,
    pub(super) since: Duration,
    pub(super) until: Duration,
}
