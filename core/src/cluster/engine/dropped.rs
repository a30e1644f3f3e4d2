//! What is said of frames that the node drops at its door.

use core::time::Duration;

use crate::node::NodeCounters;
use crate::notice::DroppedFrames;
use crate::time::Instant;

/// The heartbeats between two notices, at least: a forger makes as many frames as the bus takes.
const PAUSE: u32 = 10;

/// Says how many frames were dropped, once in a while.
#[derive(Debug)]
pub(super) struct DroppedFrameReports {
    said: DroppedFrames,
    next: Instant,
    pause: Duration,
    /// Whether a frame without a known key is dropped.
    required: bool,
}

impl DroppedFrameReports {
    pub(super) fn new(heartbeat: Duration, required: bool) -> Self {
        Self {
            said: DroppedFrames::default(),
            next: Instant::ZERO,
            pause: heartbeat * PAUSE,
            required,
        }
    }

    /// What was dropped since the report before, if it is time for one.
    pub(super) fn look(&mut self, now: Instant, counters: &NodeCounters) -> Option<DroppedFrames> {
        let dropped = |count| if self.required { count } else { 0 };
        let all = DroppedFrames {
            unsigned: dropped(counters.unsigned),
            unknown_keys: dropped(counters.unknown_keys),
            wrong_tags: counters.wrong_tags,
            misplaced: counters.misplaced,
        };
        if all == self.said || now < self.next {
            return None;
        }
        let since = all.since(self.said);
        (self.said, self.next) = (all, now + self.pause);
        Some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn what_was_dropped_is_reported_once_in_ten_heartbeats() {
        let mut reports = DroppedFrameReports::new(Duration::from_secs(1), true);
        let mut counters = NodeCounters::default();
        assert_eq!(reports.look(at(1), &counters), None);
        counters.unsigned = 2;
        let first = reports.look(at(2), &counters).expect("a report");
        assert_eq!((first.unsigned, first.wrong_tags), (2, 0));
        (counters.wrong_tags, counters.unsigned) = (7, 3);
        assert_eq!(reports.look(at(11), &counters), None);
        let second = reports.look(at(12), &counters).expect("a report");
        assert_eq!((second.unsigned, second.wrong_tags), (1, 7));
        assert_eq!(reports.look(at(99), &counters), None);
    }

    #[test]
    fn what_is_taken_is_not_reported() {
        let mut reports = DroppedFrameReports::new(Duration::from_secs(1), false);
        let mut counters = NodeCounters::default();
        (counters.unsigned, counters.unknown_keys) = (2, 1);
        assert_eq!(reports.look(at(1), &counters), None);
        counters.misplaced = 1;
        let report = reports.look(at(1), &counters).expect("a report");
        assert_eq!((report.unsigned, report.misplaced), (0, 1));
    }
}
