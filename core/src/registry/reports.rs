//! Which connections a report that events may be missing concerns, and which of them know already.

use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashMap;

use super::key::KeyRef;
use super::table::ConnectionEntry;
use crate::bus::Lane;
use crate::missed::Missed;
use crate::time::Instant;

/// The most lanes of which reports are remembered, and the most reports of one lane. Of what a forgotten report covered
/// a connection may get a second report.
const LANES: usize = 1_024;
const KEPT: usize = 4;

/// An instant is kept in microseconds, rounded down.
const TICK: Duration = Duration::from_micros(1);

/// The reports of late on each lane, and under `None` those on all lanes: they cover what is found missing later.
///
/// A connection that gets a report fetches everything that was published before that moment. So it needs no further
/// report of an event that was published before the last report came, on a lane that the last report named. Which
/// connections got a report follows from since when they are in their targets, and is not kept for each.
#[derive(Default)]
pub(super) struct RecentReports(HashMap<Option<Lane>, Vec<PastReport>>);

/// A report, and whom it reached for certain: members that were neither too late nor covered by an earlier one.
#[derive(Clone, Copy)]
struct PastReport {
    at: Instant,
    /// Members since this instant or later got it, if they attached at `attached` or later, and
    from: Instant,
    attached: Instant,
    /// before this instant.
    until: Instant,
}

impl PastReport {
    /// Whether a connection that is a member, and attached, since these instants got the report.
    fn reached(&self, member: Instant, attached: Instant) -> bool {
        self.from <= member && self.attached <= attached && member + TICK <= self.until
    }

    /// Joins this report and a later one, if everyone between them got either: the earlier moment is what each of them is known
    /// to have got.
    fn joined(&self, later: &Self) -> Option<Self> {
        (later.from <= self.until).then_some(Self {
            at: self.at,
            from: self.from,
            attached: self.attached.max(later.attached),
            until: self.until.max(later.until),
        })
    }

    /// Whether everyone whom `other` reached got this later report too.
    fn includes(&self, other: &Self) -> bool {
        self.from <= other.from && self.attached <= other.attached && self.until >= other.until
    }
}

/// The earlier reports that came after everything that a report covers was published.
struct Covering {
    /// The reports on the lane.
    on_lane: Vec<PastReport>,
    /// The reports on all lanes, which went to all who were attached.
    on_all: Vec<PastReport>,
}

impl Covering {
    fn reached(&self, member: Instant, attached: Instant) -> bool {
        let mut on_lane = self.on_lane.iter();
        on_lane.any(|past| past.reached(member, attached)) || self.reached_on_all(attached)
    }

    fn reached_on_all(&self, attached: Instant) -> bool {
        let mut on_all = self.on_all.iter();
        on_all.any(|past| past.reached(attached, attached))
    }
}

impl RecentReports {
    /// What covers a report on the lane; of a report on all lanes, what covers lane 0, on which everyone is.
    fn covering(&self, lane: Option<Lane>, missed: &Missed) -> Covering {
        let after = |lane: Option<Lane>| {
            let reports = self.0.get(&lane).into_iter().flatten();
            // A clock that stands shows one instant for what comes before and after.
            let after = reports.filter(|report| report.at > missed.until);
            after.copied().collect()
        };
        Covering {
            on_lane: after(Some(lane.unwrap_or(Lane(0)))),
            on_all: after(None),
        }
    }

    /// What covers a report on all lanes, by lane.
    fn covering_each(&self, missed: &Missed) -> HashMap<Lane, Covering> {
        let lanes = self.0.keys().filter_map(|lane| *lane);
        lanes
            .map(|lane| (lane, self.covering(Some(lane), missed)))
            .collect()
    }

    /// Remembers a report that is made now.
    pub(super) fn add(&mut self, at: Instant, missed: &Missed) {
        if self.0.len() >= LANES {
            self.0.clear();
        }
        for lane in lanes(missed) {
            // Whom an earlier report reached this one does not; of whom both may have reached nothing is said.
            let Covering { on_lane, on_all } = self.covering(lane, missed);
            let latest = |reports: Vec<PastReport>| {
                let latest = reports.into_iter().map(|report| report.until).max();
                latest.unwrap_or_default()
            };
            let report = PastReport {
                at,
                from: latest(on_lane),
                attached: latest(on_all),
                until: missed.until,
            };
            if report.from.max(report.attached) >= report.until {
                continue;
            }
            let reports = self.0.entry(lane).or_default();
            reports.retain(|old| !report.includes(old));
            if reports.len() == KEPT {
                let first = reports.remove(0);
                if let Some(joined) = reports.first().and_then(|second| first.joined(second)) {
                    reports[0] = joined;
                }
            }
            reports.push(report);
        }
    }
}

/// The lanes of a report; `None` alone for all lanes.
fn lanes(missed: &Missed) -> Vec<Option<Lane>> {
    let named = missed.lanes.named();
    named.map_or_else(
        || Vec::from([None]),
        |named| named.iter().copied().map(Some).collect(),
    )
}

/// Reports that are made together, by the lanes on which a membership makes a connection concerned.
pub(super) struct Round<'a> {
    reports: &'a [Missed],
    /// What concerns every connection that was attached.
    everyone: Vec<Part>,
    /// What concerns members of targets on a lane.
    members: HashMap<Lane, Vec<Part>>,
}

/// One lane of a report.
struct Part {
    /// The index of the report.
    report: usize,
    covering: Covering,
    /// Where the report is on all lanes, the same of each lane that earlier reports named.
    others: Option<HashMap<Lane, Covering>>,
}

impl<'a> Round<'a> {
    pub(super) fn new(reports: &'a [Missed], recent: &RecentReports) -> Self {
        let mut round = Self {
            reports,
            everyone: Vec::new(),
            members: HashMap::new(),
        };
        for (report, missed) in reports.iter().enumerate() {
            for lane in lanes(missed) {
                let covering = recent.covering(lane, missed);
                let others = lane.is_none().then(|| recent.covering_each(missed));
                let part = Part {
                    report,
                    covering,
                    others,
                };
                match lane {
                    None | Some(Lane(0)) => round.everyone.push(part),
                    Some(lane) => round.members.entry(lane).or_default().push(part),
                }
            }
        }
        round
    }

    /// Whether the part is news to a connection that is a member, and attached, since these instants.
    fn is_news(&self, part: &Part, member: Instant, attached: Instant) -> bool {
        member <= self.reports[part.report].until && !part.covering.reached(member, attached)
    }

    /// Whether the part is on all lanes, and one of those that the connection is on is covered by no earlier report.
    fn is_news_on_a_lane(
        &self,
        part: &Part,
        entry: &ConnectionEntry,
        lane_of: impl Fn(KeyRef<'_>) -> Lane,
    ) -> bool {
        let Some(others) = &part.others else {
            return false;
        };
        let attached = entry.since();
        let until = self.reports[part.report].until;
        entry.targets().any(|(key, member)| {
            let reached = match others.get(&lane_of(key)) {
                Some(covering) => covering.reached(member, attached),
                None => part.covering.reached_on_all(attached),
            };
            member <= until && !reached
        })
    }

    /// What the connection is to get. `concerned` is a buffer.
    pub(super) fn report_for(
        &self,
        entry: &ConnectionEntry,
        lane_of: impl Fn(KeyRef<'_>) -> Lane,
        concerned: &mut Vec<usize>,
    ) -> Option<Missed> {
        concerned.clear();
        let attached = entry.since();
        let everyone = self.everyone.iter();
        let everyone = everyone.filter(|part| {
            self.is_news(part, attached, attached) || self.is_news_on_a_lane(part, entry, &lane_of)
        });
        concerned.extend(everyone.map(|part| part.report));
        if !self.members.is_empty() {
            for (key, since) in entry.targets() {
                let parts = self.members.get(&lane_of(key)).into_iter().flatten();
                let news = parts.filter(|part| self.is_news(part, since, attached));
                concerned.extend(news.map(|part| part.report));
            }
        }
        concerned.sort_unstable();
        concerned.dedup();
        let reports = concerned.iter().map(|report| self.reports[*report]);
        reports.reduce(|mut all, report| {
            all.merge(&report);
            all
        })
    }
}
