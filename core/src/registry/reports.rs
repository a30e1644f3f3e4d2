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

#[derive(Clone, Copy)]
struct PastReport {
    at: Instant,
    /// Connections that were members before this instant got the report.
    until: Instant,
}

impl PastReport {
    /// Whether a connection that is a member since then got the report.
    fn reached(self, since: Instant) -> bool {
        since + TICK <= self.until
    }
}

impl RecentReports {
    /// The reports on the lane, or on all lanes, that came after everything that `missed` covers was published.
    fn covering(&self, lane: Option<Lane>, missed: &Missed) -> Vec<PastReport> {
        let on_lane = lane.and_then(|lane| self.0.get(&Some(lane)));
        let reports = [on_lane, self.0.get(&None)].into_iter().flatten().flatten();
        let after = reports.filter(|report| report.at >= missed.until);
        after.copied().collect()
    }

    /// Remembers a report that is made now.
    pub(super) fn add(&mut self, at: Instant, missed: &Missed) {
        if self.0.len() >= LANES {
            self.0.clear();
        }
        let until = missed.until;
        for lane in lanes(missed) {
            let reports = self.0.entry(lane).or_default();
            // What the new report covers as well need not be remembered.
            reports.retain(|old| old.until > until);
            if reports.len() == KEPT {
                reports.remove(0);
            }
            reports.push(PastReport { at, until });
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
    /// The earlier reports by which a connection knows already.
    covering: Vec<PastReport>,
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
                let part = Part { report, covering };
                match lane {
                    None | Some(Lane(0)) => round.everyone.push(part),
                    Some(lane) => round.members.entry(lane).or_default().push(part),
                }
            }
        }
        round
    }

    /// Whether the part is news to a connection that is a member since then.
    fn is_news(&self, part: &Part, since: Instant) -> bool {
        since <= self.reports[part.report].until
            && !part.covering.iter().any(|past| past.reached(since))
    }

    /// What the connection is to get. `concerned` is a buffer.
    pub(super) fn report_for(
        &self,
        entry: &ConnectionEntry,
        lane_of: impl Fn(KeyRef<'_>) -> Lane,
        concerned: &mut Vec<usize>,
    ) -> Option<Missed> {
        concerned.clear();
        let everyone = self.everyone.iter();
        let everyone = everyone.filter(|part| self.is_news(part, entry.since()));
        concerned.extend(everyone.map(|part| part.report));
        if !self.members.is_empty() {
            for (key, since) in entry.targets() {
                let parts = self.members.get(&lane_of(key)).into_iter().flatten();
                let news = parts.filter(|part| self.is_news(part, since));
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
