//! What became of one node.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use midplane::envelope::NodeId;

use super::index::Point;

/// What became of a node.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) ended: Option<Point>,
    pub(super) closing: Option<Point>,
    /// What its close reported as not sent; none of it was a crash.
    pub(super) unsent: Option<usize>,
    pub(super) states: Vec<(Point, bool)>,
    pub(super) gaps: Vec<Gap>,
    pub(super) deafs: Vec<Deaf>,
    pub(super) silences: Vec<(Point, NodeId)>,
    pub(super) joined: Vec<(Point, NodeId)>,
    pub(super) lagged: Vec<Point>,
    pub(super) cuts: Vec<(Point, Option<Point>)>,
    /// When lanes may have been subscribed.
    pub(super) joins: Vec<Point>,
    /// By origin and lane, each number that was delivered, and where first.
    pub(super) heard: HashMap<(NodeId, u32), Arrivals>,
    /// The frames of which an event was delivered.
    pub(super) frames: HashMap<(NodeId, u32), BTreeSet<u64>>,
    /// The same by publisher and lane, of what number the publisher gave it.
    pub(super) heard_of: HashMap<(u32, u32), Arrivals>,
}

impl Life {
    pub(super) fn first_live(&self) -> Option<Point> {
        let live = self.states.iter().find(|(_, live)| *live);
        live.map(|(point, _)| *point)
    }
}

/// What came of one line of numbers, and where first.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    first: BTreeMap<u64, Point>,
    /// Those numbers before which no higher one came.
    leading: BTreeMap<u64, Point>,
}

impl Arrivals {
    pub(super) fn note(&mut self, number: u64, point: Point) {
        self.first.entry(number).or_insert(point);
        let highest = self.leading.last_key_value();
        if highest.is_none_or(|(highest, _)| *highest < number) {
            self.leading.insert(number, point);
        }
    }

    /// The first of these numbers that came.
    pub(super) fn any_of(&self, first: u64, last: u64) -> Option<(u64, Point)> {
        let mut range = self.first.range(first..=last);
        range.next().map(|(number, point)| (*number, *point))
    }

    /// Where the first number above this one came.
    pub(super) fn above(&self, number: u64) -> Option<Point> {
        let mut higher = self.leading.range(number.checked_add(1)?..);
        higher.next().map(|(_, point)| *point)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    pub(super) told: Point,
    pub(super) origin: NodeId,
    pub(super) lane: u32,
    pub(super) first: u64,
    pub(super) last: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Deaf {
    pub(super) told: Point,
    pub(super) origin: Option<NodeId>,
    pub(super) since: Duration,
    pub(super) until: Duration,
}
