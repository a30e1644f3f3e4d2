//! Nodes for which there is no room beside those that are kept track of: what they publish is dropped, and that is told.

use core::time::Duration;

use crate::envelope::{Frame, Heartbeat, Message};
use crate::time::Instant;

/// For how many heartbeats such a node counts after a frame of one came last.
const LATELY: u32 = 10;

/// What is known of all such nodes together.
#[derive(Debug, Default)]
pub(super) struct BeyondRoom {
    /// When a frame of one came last, if that was lately.
    heard: Option<Instant>,
    /// Whether one published something since then that is not told of, and when that was told last.
    untold: bool,
    told: Option<Instant>,
}

impl BeyondRoom {
    /// Whether there is such a node.
    pub(super) fn is_heard(&self) -> bool {
        self.heard.is_some()
    }

    /// A frame of one came, on a lane that is ours since then. True if there was no such node lately.
    pub(super) fn came(&mut self, now: Instant, ours: Instant, frame: &Frame) -> bool {
        let known = self.told.unwrap_or(ours);
        let header = frame.header();
        self.untold |= match header.first {
            0 => used(now, frame).is_some_and(|used| used > known),
            _ => true,
        };
        self.heard.replace(now).is_none()
    }

    /// Forgets them when none was heard lately. True if one was known.
    pub(super) fn forget(&mut self, now: Instant, heartbeat: Duration) -> bool {
        let gone = |heard: &mut Instant| now - *heard > heartbeat * LATELY;
        self.heard.take_if(gone).is_some()
    }

    /// When what is to be told by now was published, once a heartbeat at most.
    pub(super) fn due(
        &mut self,
        now: Instant,
        heartbeat: Duration,
        (ours, time_to_live): (Instant, Duration),
    ) -> Option<(Instant, Instant)> {
        let early = self.told.is_some_and(|told| now - told < heartbeat);
        if !self.untold || early {
            return None;
        }
        self.untold = false;
        // What came after it was told was published before, by as much as an event may be late.
        let told = self.told.replace(now);
        let since = told.map_or(ours, |told| ours.max(told - time_to_live));
        Some((since, now))
    }
}

/// When the sender of a heartbeat published last, at the latest.
fn used(now: Instant, frame: &Frame) -> Option<Instant> {
    let stamp = frame.header().stamp;
    let newest = |heartbeat: Heartbeat| heartbeat.lanes.iter().map(|lane| lane.at).max();
    let used = frame.messages().find_map(|(_, message)| match message {
        Ok(Message::Heartbeat(heartbeat)) => newest(heartbeat),
        _ => None,
    });
    used.map(|at| now - stamp.saturating_sub(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Decoded, FrameWriter, Header, LaneProgress};
    use crate::node_id::NodeId;

    const HEARTBEAT: Duration = Duration::from_secs(2);

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    /// A frame with events, or with a heartbeat that the origin made at 1,000 s and that says when it published last.
    fn frame(first: u64, published: Option<u64>) -> Frame {
        let stamp = Duration::from_secs(1_000);
        let header = Header {
            stamp,
            ..Header::new(NodeId([7; 16]), 0, first)
        };
        let mut writer = FrameWriter::new(header, 1_024).expect("a header");
        let lanes = published.into_iter().map(|seconds| LaneProgress {
            lane: 0,
            last: 9,
            at: Duration::from_secs(seconds),
            keeps: 0,
            gone: Duration::ZERO,
        });
        let heartbeat = Heartbeat {
            lanes: lanes.collect(),
            ..Heartbeat::default()
        };
        writer
            .push(&Message::Heartbeat(heartbeat))
            .expect("a message");
        match Frame::decode(&writer.finish(), 1_024) {
            Ok(Decoded::Frame(frame)) => frame,
            other => panic!("no frame: {other:?}"),
        }
    }

    #[test]
    fn what_is_dropped_is_told_once_a_heartbeat_and_covers_what_is_late() {
        let mut beyond = BeyondRoom::default();
        let window = (at(10), Duration::from_secs(30));
        assert_eq!(beyond.due(at(50), HEARTBEAT, window), None);
        assert!(beyond.came(at(50), at(10), &frame(1, None)));
        assert!(!beyond.came(at(50), at(10), &frame(2, None)));
        assert_eq!(
            beyond.due(at(50), HEARTBEAT, window),
            Some((at(10), at(50)))
        );
        beyond.came(at(51), at(10), &frame(3, None));
        assert_eq!(beyond.due(at(51), HEARTBEAT, window), None);
        assert_eq!(
            beyond.due(at(52), HEARTBEAT, window),
            Some((at(20), at(52)))
        );
        assert_eq!(beyond.due(at(60), HEARTBEAT, window), None);
    }

    /// The events themselves may be lost.
    #[test]
    fn a_heartbeat_shows_what_was_published_since_it_was_told_last() {
        let mut beyond = BeyondRoom::default();
        let window = (at(10), Duration::from_secs(30));
        // Nothing, and 90 s before, when the lane was not ours.
        beyond.came(at(50), at(10), &frame(0, None));
        beyond.came(at(50), at(10), &frame(0, Some(910)));
        assert_eq!(beyond.due(at(50), HEARTBEAT, window), None);
        beyond.came(at(50), at(10), &frame(0, Some(999)));
        assert!(beyond.due(at(50), HEARTBEAT, window).is_some());
        // At 49 s, as was told, and at 51 s.
        beyond.came(at(55), at(10), &frame(0, Some(994)));
        assert_eq!(beyond.due(at(55), HEARTBEAT, window), None);
        beyond.came(at(55), at(10), &frame(0, Some(996)));
        assert!(beyond.due(at(55), HEARTBEAT, window).is_some());
    }
}
