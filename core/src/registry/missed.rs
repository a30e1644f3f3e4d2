//! A report that events may be missing, to every connection that it concerns.

use alloc::vec::Vec;

use super::Registry;
use super::connection::Member;
use super::fan_out::Tally;
use super::key::KeyRef;
use super::reports::Round;
use crate::bus::Lane;
use crate::host::Host;
use crate::missed::Missed;
use crate::receipt::Delivered;

impl<H: Host> Registry<H> {
    /// Reports to every connection that it concerns that events may be missing, and counts what each sink said.
    ///
    /// A connection is concerned if it was in a target on one of the lanes before the last of the events was published;
    /// a report on lane 0, where events for several targets travel, concerns every connection that was attached then.
    /// A connection that got a report on the lane after everything that this one covers was published gets no other.
    ///
    /// A report that names no lane with members costs nothing; any other looks at every connection once.
    pub fn missed(&self, missed: &Missed) -> Delivered {
        self.missed_on_lanes(core::slice::from_ref(missed))
    }

    /// Makes several reports in one pass; a connection that several concern gets one of them all.
    pub(crate) fn missed_on_lanes(&self, reports: &[Missed]) -> Delivered {
        let mut tally = Tally::default();
        let concerning = reports.iter().filter(|missed| self.may_concern(missed));
        let reports: Vec<Missed> = concerning.copied().collect();
        if reports.is_empty() {
            return tally.delivered;
        }
        let at = self.now();
        let round = {
            let mut recent = self.reports.lock();
            let round = Round::new(&reports, &recent);
            reports.iter().for_each(|missed| recent.add(at, missed));
            round
        };
        let mut concerned = Vec::new();
        for shard in &self.shards {
            let mut members: Vec<(Member, Missed)> = Vec::new();
            {
                let connections = shard.connections.lock();
                members.extend(connections.entries().filter_map(|entry| {
                    let missed = round.report_for(entry, |key| self.lane(key), &mut concerned)?;
                    Some((entry.member.clone(), missed))
                }));
            }
            self.call_each(
                &members,
                &mut tally,
                |_| true,
                |(member, missed)| member.sink().missed(missed),
            );
            self.dispose(members);
        }
        self.drops.add(tally.delivered);
        tally.delivered
    }

    /// Whether there may be a connection that the report concerns.
    fn may_concern(&self, missed: &Missed) -> bool {
        let (Some(watcher), Some(named)) = (&self.watcher, missed.lanes.named()) else {
            return true;
        };
        named
            .iter()
            .any(|lane| *lane == Lane(0) || watcher.has_members(*lane))
    }

    /// The lane of a target; lane 0 where nothing watches the targets.
    fn lane(&self, key: KeyRef<'_>) -> Lane {
        self.watcher
            .as_ref()
            .map_or(Lane(0), |watcher| watcher.lane(key))
    }
}

#[cfg(test)]
mod tests;
