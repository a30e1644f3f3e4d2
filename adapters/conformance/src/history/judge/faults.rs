//! The times in which something was wrong.

use std::time::Duration;

use super::bounds::Bounds;
use super::point::Point;

/// The fault periods of a run, in order and without overlaps. A fault that was never ended lasts for ever.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) periods: Vec<(Point, Point)>,
    /// When the machine stalled; [`merge`](Self::merge) adds these to the periods.
    pub(super) stalls: Vec<(Point, Point)>,
}

impl Faults {
    /// A fault that begins during a fault is part of it, and ends when all do.
    pub(super) fn begin(&mut self, point: Point) {
        if self.periods.iter().all(|(_, end)| *end != Point::NEVER) {
            self.periods.push((point, Point::NEVER));
        }
    }

    pub(super) fn end(&mut self, point: Point) {
        if let Some((_, end)) = self.periods.last_mut() {
            *end = point;
        }
    }

    pub(super) fn stall(&mut self, since: Duration, point: Point) {
        let begin = Point { at: since, ..point };
        self.stalls.push((begin, point));
    }

    /// Makes a stall a fault like any other, and one period of those that overlap.
    pub(super) fn merge(&mut self) {
        let mut times = std::mem::take(&mut self.periods);
        times.extend(&self.stalls);
        times.sort_by_key(|(begin, _)| begin.at);
        for (begin, end) in times {
            match self.periods.last_mut() {
                Some((_, last)) if begin.at <= last.at => *last = (*last).max(end),
                _ => self.periods.push((begin, end)),
            }
        }
    }

    /// Whether something was wrong at some instant between these moments.
    pub(super) fn overlap(&self, from: Duration, until: Duration) -> bool {
        let mut periods = self.periods.iter();
        periods.any(|(begin, end)| begin.at <= until && from <= end.at)
    }

    /// The latest end of a fault that began before then.
    pub(super) fn last_end_before(&self, moment: Duration) -> Duration {
        let begun = self.periods.iter().filter(|(begin, _)| begin.at <= moment);
        begun.map(|(_, end)| end.at).max().unwrap_or_default()
    }

    /// The periods in which a node may be deaf: from shortly before a fault until the node had the time to heal.
    /// If the next fault begins earlier than that, which C7 allows, a node may be deaf through both.
    pub(super) fn deaf_periods(&self, bounds: &Bounds) -> Vec<(Duration, Duration)> {
        let mut deaf: Vec<(Duration, Duration)> = Vec::new();
        for (begin, end) in &self.periods {
            let until = end.at.saturating_add(bounds.heal);
            match deaf.last_mut() {
                Some((_, last)) if begin.at < *last => *last = until.max(*last),
                _ => deaf.push((begin.at.saturating_sub(bounds.lookback()), until)),
            }
        }
        deaf
    }

    /// The periods in which every node has to be live: from `heal` after a fault until the next one or the end.
    pub(super) fn live_periods(&self, heal: Duration, end: Duration) -> Vec<(Duration, Duration)> {
        let begins = self.periods.iter().skip(1).map(|(begin, _)| begin.at);
        let mut ends: Vec<Duration> = self.periods.iter().map(|(_, end)| end.at).collect();
        if ends.is_empty() {
            ends.push(Duration::ZERO);
        }
        let calm = ends.into_iter().zip(begins.chain([end]));
        calm.filter_map(|(ended, until)| {
            let due = ended.saturating_add(heal);
            (due <= until).then_some((due, until))
        })
        .collect()
    }
}
