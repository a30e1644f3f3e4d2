//! What was published on a simulated bus, what each node delivered and told, and the verdicts on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use midplane_core::Instant;
use midplane_core::envelope::NodeId;
use midplane_core::node::News;

use crate::wire::id;

/// An event, by who published it on which lane, counted from zero there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventName {
    pub(crate) from: usize,
    pub(crate) lane: u32,
    pub(crate) number: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Got {
    pub(crate) event: EventName,
    pub(crate) at: Duration,
}

impl EventName {
    /// The name as it is written in the event.
    pub(crate) fn text(self) -> String {
        let Self { from, lane, number } = self;
        format!("<{from}.{lane}.{number}>")
    }

    /// The names in a frame.
    pub(crate) fn all_in(frame: &[u8]) -> Vec<Self> {
        let text = String::from_utf8_lossy(frame);
        let names = text.split('<').skip(1);
        let names = names.filter_map(|rest| rest.split_once('>'));
        names.map(|(name, _)| Self::parse(name)).collect()
    }

    /// The name in an event's text.
    pub(crate) fn parse(text: &str) -> Self {
        let inner = text
            .trim_end()
            .trim_start_matches('<')
            .trim_end_matches('>');
        let mut parts = inner.split('.').map(|part| part.parse().unwrap());
        let mut part = || parts.next().unwrap();
        let (from, lane, number): (u64, u64, u64) = (part(), part(), part());
        Self {
            from: from as usize,
            lane: lane as u32,
            number,
        }
    }
}

/// What one node heard.
#[derive(Default)]
pub(crate) struct Heard {
    /// How far the node's clock is ahead.
    pub(crate) ahead: Duration,
    /// The node does nothing any more, or for a while.
    pub(crate) asleep: bool,
    /// From when on each lane's events are the node's to hear.
    pub(crate) lanes: BTreeMap<u32, Duration>,
    pub(crate) got: Vec<Got>,
    pub(crate) told: Vec<News>,
}

#[derive(Default)]
pub(crate) struct History {
    pub(crate) published: BTreeMap<EventName, Duration>,
    pub(crate) heard: Vec<Heard>,
}

impl History {
    /// Forgets what was published, delivered and told until this moment.
    pub(crate) fn forget(&mut self, now: Duration) {
        self.published.clear();
        for heard in &mut self.heard {
            heard.got.clear();
            heard.told.clear();
            let lanes = heard.lanes.values_mut();
            lanes.for_each(|since| *since = (*since).max(now));
        }
    }

    /// What a node's clock shows at a moment.
    pub(crate) fn clock(&self, node: usize, moment: Duration) -> Instant {
        Instant::from_origin(moment + self.heard[node].ahead)
    }

    pub(crate) fn published(&self) -> impl Iterator<Item = (EventName, Duration)> {
        self.published.iter().map(|(event, at)| (*event, *at))
    }

    pub(crate) fn got(&self, node: usize) -> &[Got] {
        &self.heard[node].got
    }

    /// The gaps and the deafness that the node told of.
    pub(crate) fn losses(&self, node: usize) -> Vec<&News> {
        let told = self.heard[node].told.iter();
        told.filter(|news| matches!(news, News::Gap { .. } | News::Deaf { .. }))
            .collect()
    }

    /// The events that were the node's to hear and did not come.
    pub(crate) fn missing(&self, node: usize) -> Vec<EventName> {
        let heard = &self.heard[node];
        let got: BTreeSet<EventName> = heard.got.iter().map(|got| got.event).collect();
        let ours = self.published.iter().filter(|(event, at)| {
            let since = heard.lanes.get(&event.lane);
            event.from != node && since.is_some_and(|since| since <= *at)
        });
        let ours = ours.map(|(event, _)| *event);
        ours.filter(|event| !got.contains(event)).collect()
    }

    /// No event came twice, and those of one origin on one lane in the order published.
    pub(crate) fn assert_in_order(&self, node: usize) {
        let mut highest = BTreeMap::new();
        for Got { event, at } in &self.heard[node].got {
            let place = (event.from, event.lane);
            let before = highest.insert(place, event.number);
            assert!(
                before.is_none_or(|before| before < event.number),
                "node {node}: {event:?} came at {at:?} behind {before:?}"
            );
        }
    }

    /// Everything came once and in order, and nothing is said to be missing.
    pub(crate) fn assert_whole(&self, node: usize) {
        self.assert_in_order(node);
        let (missing, losses) = (self.missing(node), self.losses(node));
        assert!(
            missing.is_empty() && losses.is_empty(),
            "node {node}: {} missing, from {:?} to {:?}; {} reports, first {:?}",
            missing.len(),
            missing.first(),
            missing.last(),
            losses.len(),
            losses.iter().take(3).collect::<Vec<_>>()
        );
    }

    /// Nothing came that was published before it was the node's to hear, but for what was under way for as long as the
    /// fastest heartbeat.
    pub(crate) fn assert_nothing_old(&self, node: usize, trip: Duration) {
        let heard = &self.heard[node];
        for Got { event, at } in &heard.got {
            let published = self.published.get(event);
            let since = heard.lanes[&event.lane];
            assert!(
                published.is_none_or(|published| *published + trip >= since),
                "node {node}, on the lane since {since:?}: {event:?} of {published:?} came at {at:?}"
            );
        }
    }

    /// All is whole at every node that lives but one.
    pub(crate) fn assert_all_but_whole(&self, one: usize) {
        let awake = (0..self.heard.len()).filter(|node| !self.heard[*node].asleep);
        awake
            .filter(|node| *node != one)
            .for_each(|node| self.assert_whole(node));
    }

    /// All is whole at every node that lives.
    pub(crate) fn assert_all_whole(&self) {
        let awake = (0..self.heard.len()).filter(|node| !self.heard[*node].asleep);
        awake.for_each(|node| self.assert_whole(node));
    }

    /// What came is in order, what did not lies in a report with its number and its time, and what came in none that
    /// names numbers.
    pub(crate) fn assert_accounted(&self, node: usize) {
        self.assert_in_order(node);
        let losses = self.losses(node);
        for event in self.missing(node) {
            let at = self.clock(node, self.published[&event]);
            let covered = losses.iter().any(|loss| covers(loss, event, at));
            assert!(
                covered,
                "node {node}: {event:?} of {at:?} is missing, told {:?}",
                losses
                    .iter()
                    .filter(|loss| names(loss, event) || matches!(loss, News::Deaf { .. }))
                    .collect::<Vec<_>>()
            );
        }
        for Got { event, .. } in &self.heard[node].got {
            let named = losses.iter().find(|loss| names(loss, *event));
            assert!(
                named.is_none(),
                "node {node}: {event:?} came, yet {named:?}"
            );
        }
    }

    /// No gap names an event that was published before it was the node's to hear, with the same allowance.
    pub(crate) fn assert_nothing_told_of_before(&self, node: usize, trip: Duration) {
        let heard = &self.heard[node];
        let losses = self.losses(node);
        for (event, at) in &self.published {
            let since = heard.lanes.get(&event.lane);
            if since.is_none_or(|since| *at + trip < *since) {
                let named = losses.iter().find(|loss| names(loss, *event));
                assert!(
                    named.is_none(),
                    "node {node}: {event:?} of {at:?} is not its, yet {named:?}"
                );
            }
        }
    }

    /// How long an event took to a node.
    pub(crate) fn took(&self, node: usize, event: EventName) -> Duration {
        let mut got = self.heard[node].got.iter();
        let got = got.find(|got| got.event == event);
        got.map_or(Duration::MAX, |got| got.at - self.published[&event])
    }

    /// How many numbers the node's gaps have.
    pub(crate) fn lost_numbers(&self, node: usize) -> u64 {
        let lost = self.losses(node).into_iter().map(|news| match news {
            News::Gap { run, .. } => run.last - run.first + 1,
            _ => 0,
        });
        lost.sum()
    }
}

/// An event's number on the wire: they are counted from one.
fn names(loss: &News, event: EventName) -> bool {
    match loss {
        News::Gap {
            origin, lane, run, ..
        } => {
            let number = event.number + 1;
            (*origin, lane.0) == (id(event.from), event.lane)
                && (run.first..=run.last).contains(&number)
        }
        _ => false,
    }
}

fn covers(loss: &News, event: EventName, at: Instant) -> bool {
    match loss {
        News::Gap { since, until, .. } => names(loss, event) && (*since..=*until).contains(&at),
        News::Deaf {
            origin,
            lane,
            since,
            until,
        } => {
            let origin: Option<NodeId> = *origin;
            origin.is_none_or(|origin| origin == id(event.from))
                && lane.is_none_or(|lane| lane.0 == event.lane)
                && (*since..=*until).contains(&at)
        }
        _ => false,
    }
}
