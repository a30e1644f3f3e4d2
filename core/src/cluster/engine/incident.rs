//! What is found missing: gathered for the connections of this node, and for one notice of each incident.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use crate::audience::Audience;
use crate::bus::Lane;
use crate::lane_map::LaneMap;
use crate::missed::{Missed, MissedLanes};
use crate::node_id::NodeId;
use crate::notice::Incident;
use crate::status::MissedCounts;
use crate::target::Scope;
use crate::time::Instant;

/// What was found missing and is not reported yet.
///
/// The connections get their reports before the next event on such a lane, and in any case when the driver has nothing
/// else to do: an outage may cost gaps on thousands of lanes at once, and a report on a lane looks at every connection.
pub(super) struct Incidents {
    /// After how long without a further gap an incident is over, and after how long in any case.
    quiet: Duration,
    longest: Duration,
    map: LaneMap,
    /// The lanes of the bus.
    lanes: u32,
    /// What the connections got no report of yet, by lane; under `None` what may be missing on all lanes.
    unreported: BTreeMap<Option<Lane>, Missed>,
    open: Option<OpenIncident>,
    counts: MissedCounts,
}

struct OpenIncident {
    over: Instant,
    at_the_latest: Instant,
    incident: Incident,
    origins: BTreeSet<NodeId>,
}

impl Incidents {
    pub(super) fn new(heartbeat: Duration, lanes: u32) -> Self {
        Self {
            quiet: heartbeat / 2,
            longest: heartbeat * 4,
            map: LaneMap::new(lanes),
            lanes,
            unreported: BTreeMap::new(),
            open: None,
            counts: MissedCounts::default(),
        }
    }

    /// Numbers of a node that will not come.
    pub(super) fn gap(
        &mut self,
        now: Instant,
        origin: NodeId,
        (events, lane): (u64, Lane),
        (since, until): (Instant, Instant),
    ) {
        self.counts.events = self.counts.events.saturating_add(events);
        self.counts.gaps += 1;
        let missed = Missed::counted(events, lane, since, until);
        self.add(now, Some(origin), Some(lane), missed);
    }

    /// A time in which events of a node may be missing, on this lane or on any; without a node, of one that nobody
    /// remembers.
    pub(super) fn deaf(
        &mut self,
        now: Instant,
        origin: Option<NodeId>,
        lane: Option<Lane>,
        (since, until): (Instant, Instant),
    ) {
        self.counts.deaf += 1;
        // Of one lane it is all the same, and one report covers another.
        let lane = lane.or_else(|| (self.lanes == 1).then_some(Lane(0)));
        let lanes = lane.map_or(MissedLanes::ALL, MissedLanes::from);
        let missed = Missed::uncounted(lanes, since, until);
        self.add(now, origin, lane, missed);
    }

    fn add(&mut self, now: Instant, origin: Option<NodeId>, lane: Option<Lane>, missed: Missed) {
        let unreported = self.unreported.entry(lane);
        unreported
            .and_modify(|others| others.merge(&missed))
            .or_insert(missed);
        match &mut self.open {
            Some(open) => {
                open.incident.missed.merge(&missed);
                open.over = open.at_the_latest.min(now + self.quiet);
            }
            None => {
                self.counts.incidents += 1;
                self.open = Some(OpenIncident {
                    over: now + self.quiet,
                    at_the_latest: now + self.longest,
                    incident: Incident::new(missed),
                    origins: BTreeSet::new(),
                });
            }
        }
        let Some(open) = &mut self.open else { return };
        open.incident.gaps += 1;
        let first = &mut open.incident.first;
        if let Some(origin) = origin
            && open.origins.insert(origin)
            && first.len() < Incident::NAMED
        {
            first.push(origin);
        }
    }

    /// What the connections must get before an event for this audience: everything, if some of it is on the lane of
    /// the event.
    pub(super) fn before_event(&mut self, scope: &Scope, audience: &Audience) -> Vec<Missed> {
        if self.unreported.is_empty() {
            return Vec::new();
        }
        let lane = self.map.lane(scope, audience);
        let waits = [None, Some(lane)]
            .iter()
            .any(|lane| self.unreported.contains_key(lane));
        if waits {
            self.take_unreported()
        } else {
            Vec::new()
        }
    }

    /// What the connections got no report of yet.
    pub(super) fn take_unreported(&mut self) -> Vec<Missed> {
        if self.unreported.is_empty() {
            return Vec::new();
        }
        mem::take(&mut self.unreported).into_values().collect()
    }

    /// Counts the sinks that took a report.
    pub(super) fn reported(&mut self, connections: usize) {
        self.counts.reports += connections as u64;
        if let Some(open) = &mut self.open {
            open.incident.connections += connections as u64;
        }
    }

    /// When the incident that is open is over.
    pub(super) fn due(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.over)
    }

    /// The incident that is over.
    pub(super) fn take_over(&mut self, now: Instant) -> Option<Incident> {
        let open = self.open.take_if(|open| open.over <= now)?;
        Some(Incident {
            origins: open.origins.len(),
            ..open.incident
        })
    }

    pub(super) fn counts(&self) -> MissedCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    const HEARTBEAT: Duration = Duration::from_millis(200);

    fn at(millis: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(millis))
    }

    fn node(number: u8) -> NodeId {
        NodeId([number; 16])
    }

    fn incidents() -> Incidents {
        Incidents::new(HEARTBEAT, 8)
    }

    #[test]
    fn an_incident_is_over_when_nothing_more_is_missing_for_half_a_heartbeat() {
        let mut incidents = incidents();
        assert_eq!(incidents.due(), None);
        for number in 0..6 {
            let now = at(1_000 + 90 * number);
            let lane = Lane(number as u32 % 3);
            let origin = node(number as u8);
            incidents.gap(now, origin, (500, lane), (at(number), at(100 + number)));
            assert_eq!(incidents.take_over(now), None);
        }
        assert_eq!(incidents.due(), Some(at(1_450 + 100)));
        incidents.reported(7);
        let incident = incidents.take_over(at(1_550)).unwrap();
        let lanes: MissedLanes = (0..3).map(Lane).collect();
        let missed = Missed::counted(3_000, lanes, at(0), at(105));
        assert_eq!((incident.missed, incident.gaps), (missed, 6));
        assert_eq!((incident.origins, incident.connections), (6, 7));
        assert_eq!(incident.first, [0, 1, 2, 3].map(node));
        assert_eq!(
            (incidents.due(), incidents.take_over(at(9_999))),
            (None, None)
        );
    }

    #[test]
    fn an_incident_that_goes_on_is_reported_after_four_heartbeats() {
        let mut incidents = incidents();
        for number in 0..8 {
            let now = at(99 * number);
            incidents.gap(now, node(1), (1, Lane(1)), (at(0), now));
        }
        assert_eq!(incidents.due(), Some(at(99 * 7 + 100)));
        incidents.gap(at(750), node(1), (1, Lane(1)), (at(0), at(750)));
        assert_eq!(incidents.due(), Some(at(800)));
        let first = incidents.take_over(at(800)).unwrap();
        incidents.gap(at(801), node(1), (1, Lane(1)), (at(0), at(801)));
        let second = incidents.take_over(at(901)).unwrap();
        assert_eq!((first.missed.events, second.missed.events), (9, 1));
        assert_eq!((first.origins, incidents.counts().incidents), (1, 2));
    }

    /// A time of deafness counts no events, and then the incident's count is not exact.
    #[test]
    fn an_incident_with_deafness_is_not_exact() {
        let mut incidents = incidents();
        incidents.gap(at(1), node(1), (2, Lane(1)), (at(0), at(1)));
        incidents.deaf(at(1), Some(node(2)), None, (at(0), at(9)));
        let incident = incidents.take_over(at(101)).unwrap();
        assert_eq!((incident.origins, incident.gaps), (2, 2));
        assert!(!incident.missed.exact && incident.missed.lanes == MissedLanes::ALL);
        let counts = incidents.counts();
        assert_eq!((counts.events, counts.gaps, counts.deaf), (2, 1, 1));
    }

    /// Gaps of one lane are one report, and wait for nothing but an event that could belong behind them.
    #[test]
    fn a_report_comes_before_the_next_event_on_its_lane() {
        let mut incidents = incidents();
        let scope = Scope::default();
        let audience = |target: &str| Audience::from(Target::topic(target).unwrap());
        let lane = |target: &str| LaneMap::new(8).lane(&scope, &audience(target));
        let names = || (0..).map(|number| alloc::format!("t{number}"));
        let here = names().find(|name| lane(name) == Lane(3)).unwrap();
        let elsewhere = names().find(|name| lane(name) == Lane(4)).unwrap();
        assert_eq!(incidents.before_event(&scope, &audience(&here)), []);
        incidents.gap(at(1), node(1), (2, Lane(3)), (at(0), at(1)));
        incidents.gap(at(1), node(2), (3, Lane(3)), (at(0), at(2)));
        incidents.gap(at(1), node(2), (1, Lane(5)), (at(0), at(1)));
        assert_eq!(incidents.before_event(&scope, &audience(&elsewhere)), []);
        let reports = [
            Missed::counted(5, Lane(3), at(0), at(2)),
            Missed::counted(1, Lane(5), at(0), at(1)),
        ];
        assert_eq!(incidents.before_event(&scope, &audience(&here)), reports);
        assert_eq!(incidents.take_unreported(), []);
        incidents.deaf(at(1), Some(node(1)), None, (at(0), at(1)));
        assert_eq!(
            incidents.before_event(&scope, &audience(&elsewhere)).len(),
            1
        );
    }
}
