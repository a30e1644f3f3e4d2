//! A history, sorted by what it is about.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use midplane::envelope::NodeId;
use midplane::{Audience, ConnectionId, Scope, Target};

use super::life::{Deaf, Gap, Life};
use crate::history::{Fact, History, Mark, Outcome, Reach, Relayed, Seat, Tally};

/// Where a fact stands: its place in the history, and its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) place: usize,
    pub(super) at: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    pub(super) end: Point,
    pub(super) nodes: BTreeMap<NodeId, Life>,
    pub(super) seats: BTreeMap<Seat, Sitting>,
    pub(super) events: HashMap<Mark, Shot<'a>>,
    /// The seats that ever joined a target, a connection's own among them.
    pub(super) rooms: HashMap<(NodeId, Scope, Target), Vec<Seat>>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) forged: HashSet<u64>,
    /// By origin and lane, the numbers that were handed to the bus, in their order.
    pub(super) sent: HashMap<(NodeId, u32), BTreeMap<u64, Sending>>,
    /// From when until when something was wrong.
    pub(super) broken: Vec<(Point, Point)>,
    /// When the machine had no time; of these and the others, `broken` is made in the end.
    pub(super) stalls: Vec<(Point, Point)>,
    pub(super) levels: Vec<(&'a str, u64, u64)>,
}

impl Default for Point {
    fn default() -> Self {
        let (place, at) = (0, Duration::ZERO);
        Self { place, at }
    }
}

/// What became of an attachment.
#[derive(Debug)]
pub(super) struct Sitting {
    pub(super) node: NodeId,
    pub(super) scope: Scope,
    pub(super) connection: ConnectionId,
    /// From when it may no longer be there: a detach is called, another with its id is attached, its sink
    /// said closed or panicked, its node ends.
    pub(super) doubted: Option<Point>,
    /// From when no publish that begins finds it.
    pub(super) left: Option<Point>,
    /// From when no call runs.
    pub(super) detached: Option<Point>,
    pub(super) joins: Vec<(Target, Join)>,
}

/// One time in one target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Join {
    /// From when it may be in it.
    pub(super) from: Point,
    /// From when publishers of its node surely reach it, and from when all do.
    pub(super) here: Option<Point>,
    pub(super) everywhere: Option<Point>,
    /// From when it may be in it no longer.
    pub(super) leaving: Option<Point>,
    /// From when no publish that begins finds it in it.
    pub(super) until: Option<Point>,
}

/// One event.
#[derive(Debug)]
pub(super) struct Shot<'a> {
    pub(super) node: NodeId,
    pub(super) scope: &'a Scope,
    pub(super) audience: &'a Audience,
    pub(super) lane: u32,
    pub(super) hash: u64,
    pub(super) bytes: u64,
    pub(super) called: Point,
    pub(super) returned: Option<(Point, Tally, Relayed)>,
    /// Under which number it was handed to the bus first, and when.
    pub(super) sent: Option<(u64, Point)>,
    /// Whom it came to, by their place among the deliveries.
    pub(super) deliveries: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery {
    pub(super) point: Point,
    pub(super) seat: Seat,
    pub(super) mark: Option<Mark>,
    pub(super) hash: u64,
    pub(super) outcome: Outcome,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Sending {
    pub(super) point: Point,
    /// The first number in the same frame.
    pub(super) frame: u64,
    pub(super) mark: Option<Mark>,
}

impl<'a> Index<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        let mut index = Self::default();
        for (place, record) in history.records.iter().enumerate() {
            let at = record.at;
            index.read(Point { place, at }, &record.fact);
        }
        index.merge();
        let place = history.records.len();
        index.end = Point {
            place,
            at: history.end,
        };
        index
    }

    /// A stall is something that is wrong, like any other; times that overlap are one.
    fn merge(&mut self) {
        let mut times = std::mem::take(&mut self.broken);
        times.extend(&self.stalls);
        times.sort_by_key(|(begin, _)| begin.at);
        for (begin, end) in times {
            match self.broken.last_mut() {
                Some((_, last)) if begin.at <= last.at => {
                    if end.at > last.at {
                        *last = end;
                    }
                }
                _ => self.broken.push((begin, end)),
            }
        }
    }

    /// Whether a tap on the bus told of this node.
    pub(super) fn is_tapped(&self, node: NodeId) -> bool {
        self.sent.keys().any(|(origin, _)| *origin == node)
    }

    /// The times in which something was wrong, what was never healed lasting to the end.
    pub(super) fn is_broken(&self, from: Duration, until: Duration) -> bool {
        let mut broken = self.broken.iter();
        broken.any(|(begin, end)| begin.at <= until && from <= end.at)
    }

    /// Whether nothing was wrong for so long at a stretch between these moments.
    pub(super) fn was_well(&self, from: Duration, until: Duration, length: Duration) -> bool {
        let begins = self.broken.iter().map(|(begin, _)| begin.at);
        let ends = self.broken.iter().map(|(_, end)| end.at);
        let spells = std::iter::once(Duration::ZERO).chain(ends);
        let mut spells = spells.zip(begins.chain([Duration::MAX]));
        spells.any(|(begin, end)| end.min(until).saturating_sub(begin.max(from)) >= length)
    }

    fn life(&mut self, node: NodeId) -> &mut Life {
        self.nodes.entry(node).or_default()
    }

    fn sitting(&mut self, seat: Seat) -> &mut Sitting {
        let sitting = self.seats.get_mut(&seat);
        sitting.expect("a history tells of a seat first that it is attached")
    }

    fn read(&mut self, point: Point, fact: &'a Fact) {
        match fact {
            Fact::Started(node) => {
                self.life(*node);
            }
            Fact::Crashed(node) => {
                self.life(*node).ended = Some(point);
                self.end_seats(*node, point);
            }
            Fact::Closing(node) => {
                self.life(*node).closing = Some(point);
                self.end_seats(*node, point);
            }
            Fact::Closed { node, unsent } => {
                let life = self.life(*node);
                life.ended = Some(point);
                life.unsent = Some(*unsent);
            }
            Fact::State { node, live } => {
                self.life(*node).states.push((point, *live));
                if *live {
                    self.reach_everywhere(*node, point);
                }
            }
            Fact::Gap {
                node,
                origin,
                lane,
                first,
                last,
            } => self.life(*node).gaps.push(Gap {
                told: point,
                origin: *origin,
                lane: *lane,
                first: *first,
                last: *last,
            }),
            Fact::Deaf {
                node,
                origin,
                since,
                until,
            } => self.life(*node).deafs.push(Deaf {
                told: point,
                origin: *origin,
                since: *since,
                until: *until,
            }),
            Fact::Joined { node, origin } => self.life(*node).joined.push((point, *origin)),
            Fact::Silent { node, origin } => self.life(*node).silences.push((point, *origin)),
            Fact::Lagged(node) => self.life(*node).lagged.push(point),
            Fact::Sent {
                origin,
                lane,
                number,
                frame,
                mark,
            } => self.read_sent(
                (*origin, *lane),
                *number,
                Sending {
                    point,
                    frame: *frame,
                    mark: *mark,
                },
            ),
            Fact::Forged { hash } => {
                self.forged.insert(*hash);
            }
            // A fault during a fault is the same fault, and ends when all do.
            Fact::Broken => {
                let goes_on = |(_, end): &&mut (Point, Point)| end.place == usize::MAX;
                if self.broken.iter_mut().find(goes_on).is_none() {
                    self.broken.push((point, NEVER));
                }
            }
            Fact::Healed => {
                if let Some((_, end)) = self.broken.last_mut() {
                    *end = point;
                }
            }
            Fact::Stalled { since } => {
                let begin = Point {
                    at: *since,
                    ..point
                };
                self.stalls.push((begin, point));
            }
            Fact::Cut(node) => self.life(*node).cuts.push((point, None)),
            Fact::Mended(node) => {
                if let Some((_, end)) = self.life(*node).cuts.last_mut() {
                    *end = Some(point);
                }
            }
            Fact::Level { what, value, cap } => self.levels.push((what, *value, *cap)),
            other => self.read_call(point, other),
        }
    }

    fn read_call(&mut self, point: Point, fact: &'a Fact) {
        match fact {
            Fact::Attaching {
                seat,
                node,
                scope,
                connection,
            } => self.read_attaching(point, *seat, *node, scope, connection),
            Fact::Attached(seat) => self.read_attached(point, *seat),
            Fact::Associating { seat, target } => {
                let sitting = self.sitting(*seat);
                sitting.joins.push((target.clone(), Join::begin(point)));
                let (node, scope) = (sitting.node, sitting.scope.clone());
                self.life(node).joins.push(point);
                let room = self.rooms.entry((node, scope, target.clone()));
                let room = room.or_default();
                if !room.contains(seat) {
                    room.push(*seat);
                }
            }
            Fact::Associated {
                seat,
                target,
                reach,
            } => self.sitting(*seat).associated(point, target, *reach),
            Fact::Dissociating { seat, target } => {
                for join in self.sitting(*seat).in_target(target) {
                    join.leaving.get_or_insert(point);
                }
            }
            Fact::Dissociated { seat, target } => {
                for join in self.sitting(*seat).in_target(target) {
                    // Joined again since it began to leave, it may have stayed.
                    if join.leaving.is_some() {
                        join.until.get_or_insert(point);
                    }
                }
            }
            Fact::Detaching(seat) => {
                self.sitting(*seat).doubted.get_or_insert(point);
            }
            Fact::Left(seat) => {
                self.sitting(*seat).left.get_or_insert(point);
            }
            Fact::Detached(seat) => {
                self.sitting(*seat).detached.get_or_insert(point);
            }
            Fact::Publishing {
                mark,
                node,
                scope,
                audience,
                lane,
                hash,
                bytes,
            } => {
                self.events.insert(
                    *mark,
                    Shot {
                        node: *node,
                        scope,
                        audience,
                        lane: *lane,
                        hash: *hash,
                        bytes: *bytes,
                        called: point,
                        returned: None,
                        sent: None,
                        deliveries: Vec::new(),
                    },
                );
            }
            Fact::Published { mark, tally, relay } => {
                if let Some(shot) = self.events.get_mut(mark) {
                    shot.returned = Some((point, *tally, *relay));
                }
            }
            Fact::Delivered {
                seat,
                mark,
                hash,
                outcome,
            } => self.read_delivered(Delivery {
                point,
                seat: *seat,
                mark: *mark,
                hash: *hash,
                outcome: *outcome,
            }),
            _ => {}
        }
    }

    fn read_sent(&mut self, line: (NodeId, u32), number: u64, sending: Sending) {
        let sendings = self.sent.entry(line).or_default();
        sendings.entry(number).or_insert(sending);
        let Sending { point, mark, .. } = sending;
        if let Some(shot) = mark.and_then(|mark| self.events.get_mut(&mark)) {
            shot.sent.get_or_insert((number, point));
        }
    }

    fn read_delivered(&mut self, delivery: Delivery) {
        let which = self.deliveries.len();
        self.deliveries.push(delivery);
        let sitting = self.sitting(delivery.seat);
        if matches!(delivery.outcome, Outcome::Closed | Outcome::Panicked) {
            sitting.doubted.get_or_insert(delivery.point);
        }
        let node = sitting.node;
        let Some(mark) = delivery.mark else { return };
        let Some(shot) = self.events.get_mut(&mark) else {
            return;
        };
        shot.deliveries.push(which);
        let (origin, lane, sent) = (shot.node, shot.lane, shot.sent);
        if origin == node {
            return;
        }
        let line = self.sent.get(&(origin, lane));
        let frame = sent.and_then(|(number, _)| Some(line?.get(&number)?.frame));
        let life = self.life(node);
        let heard_of = life.heard_of.entry((mark.publisher, lane)).or_default();
        heard_of.note(u64::from(mark.number), delivery.point);
        if let Some((number, _)) = sent {
            let heard = life.heard.entry((origin, lane)).or_default();
            heard.note(number, delivery.point);
            life.frames.entry((origin, lane)).or_default().extend(frame);
        }
    }

    fn read_attaching(
        &mut self,
        point: Point,
        seat: Seat,
        node: NodeId,
        scope: &Scope,
        connection: &ConnectionId,
    ) {
        let own = Target::Connection(connection.clone());
        // On a closed node it is detached from the start.
        let doubted = self.life(node).closing;
        let sitting = Sitting {
            node,
            scope: scope.clone(),
            connection: connection.clone(),
            doubted,
            left: None,
            detached: None,
            joins: vec![(own.clone(), Join::begin(point))],
        };
        self.seats.insert(seat, sitting);
        // Whoever has the id is about to be replaced.
        let room = self.rooms.entry((node, scope.clone(), own)).or_default();
        for replaced in room.iter() {
            if let Some(sitting) = self.seats.get_mut(replaced) {
                sitting.doubted.get_or_insert(point);
            }
        }
        room.push(seat);
    }

    fn read_attached(&mut self, point: Point, seat: Seat) {
        let sitting = self.sitting(seat);
        let Some((own, join)) = sitting.joins.first_mut() else {
            return;
        };
        join.here = Some(point);
        let key = (sitting.node, sitting.scope.clone(), own.clone());
        // From now on no publish that begins finds those that it replaced. Of two that were attached at
        // once, either may have been last.
        let begun = join.from;
        for other in self.rooms.get(&key).into_iter().flatten() {
            if let Some(sitting) = self.seats.get_mut(other)
                && sitting.joins[0]
                    .1
                    .here
                    .is_some_and(|attached| attached < begun)
            {
                sitting.left.get_or_insert(point);
            }
        }
    }

    fn end_seats(&mut self, node: NodeId, point: Point) {
        let of_node = |sitting: &&mut Sitting| sitting.node == node;
        for sitting in self.seats.values_mut().filter(of_node) {
            sitting.doubted.get_or_insert(point);
        }
    }

    /// The node is live: joins that waited for it reach everywhere.
    fn reach_everywhere(&mut self, node: NodeId, point: Point) {
        let of_node = |sitting: &&mut Sitting| sitting.node == node;
        for sitting in self.seats.values_mut().filter(of_node) {
            for (target, join) in &mut sitting.joins {
                if !matches!(target, Target::Connection(_)) && join.here.is_some() {
                    join.everywhere.get_or_insert(point);
                }
            }
        }
    }
}

/// Behind everything that ever happens.
const NEVER: Point = Point {
    place: usize::MAX,
    at: Duration::MAX,
};

impl Join {
    fn begin(from: Point) -> Self {
        Self {
            from,
            here: None,
            everywhere: None,
            leaving: None,
            until: None,
        }
    }
}

impl Sitting {
    fn in_target(&mut self, target: &Target) -> impl Iterator<Item = &mut Join> {
        let joins = self.joins.iter_mut();
        joins.filter_map(move |(joined, join)| (joined == target).then_some(join))
    }

    fn associated(&mut self, point: Point, target: &Target, reach: Reach) {
        let pending = |join: &&mut Join| join.here.is_none() && join.until.is_none();
        let Some(join) = self.in_target(target).find(pending) else {
            return;
        };
        match reach {
            Reach::Everywhere => {
                join.here = Some(point);
                join.everywhere = Some(point);
            }
            Reach::Here => join.here = Some(point),
            Reach::Nowhere => {
                join.leaving.get_or_insert(point);
                join.until.get_or_insert(point);
            }
        }
    }
}
