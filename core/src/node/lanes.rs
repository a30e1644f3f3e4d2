//! The lanes that the link brings, since when they are ours to receive, and when something came on each.

use alloc::collections::BTreeMap;

use crate::bus::Lane;
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    subscribed: BTreeMap<Lane, Subscribed>,
    /// How many lanes are ours since each moment: which is the first is asked for at every heartbeat.
    moments: BTreeMap<Instant, usize>,
}

#[derive(Debug)]
struct Subscribed {
    /// Since when the lane is ours to receive.
    since: Instant,
    /// When a frame came on it last.
    heard: Option<Instant>,
}

impl Lanes {
    /// The lane is ours since then, or since the earlier moment that was said before.
    pub(super) fn subscribe(&mut self, since: Instant, lane: Lane) {
        let before = self.since(lane);
        if before.is_some_and(|before| before <= since) {
            return;
        }
        let heard = self.heard(lane);
        self.unsubscribe(lane);
        self.subscribed.insert(lane, Subscribed { since, heard });
        *self.moments.entry(since).or_default() += 1;
    }

    pub(super) fn unsubscribe(&mut self, lane: Lane) {
        let Some(Subscribed { since, .. }) = self.subscribed.remove(&lane) else {
            return;
        };
        if let Some(lanes) = self.moments.get_mut(&since) {
            *lanes -= 1;
            if *lanes == 0 {
                self.moments.remove(&since);
            }
        }
    }

    /// Since when the lane is ours.
    pub(super) fn since(&self, lane: Lane) -> Option<Instant> {
        self.subscribed
            .get(&lane)
            .map(|subscribed| subscribed.since)
    }

    /// Since when any lane is ours.
    pub(super) fn first(&self) -> Option<Instant> {
        self.moments.keys().next().copied()
    }

    /// A link begins, on which nothing came yet.
    pub(super) fn connected(&mut self) {
        self.subscribed
            .values_mut()
            .for_each(|subscribed| subscribed.heard = None);
    }

    /// A frame came on the lane.
    pub(super) fn hear(&mut self, now: Instant, lane: Lane) {
        if let Some(subscribed) = self.subscribed.get_mut(&lane) {
            subscribed.heard = Some(now);
        }
    }

    /// When a frame came last on the lane by this link.
    pub(super) fn heard(&self, lane: Lane) -> Option<Instant> {
        self.subscribed
            .get(&lane)
            .and_then(|subscribed| subscribed.heard)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Lane> {
        self.subscribed.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn a_lane_is_ours_since_the_earliest_moment_that_was_said() {
        let mut lanes = Lanes::default();
        lanes.subscribe(at(5), Lane(1));
        lanes.subscribe(at(3), Lane(1));
        lanes.subscribe(at(9), Lane(1));
        lanes.subscribe(at(4), Lane(2));
        assert_eq!(lanes.since(Lane(1)), Some(at(3)));
        assert_eq!(lanes.first(), Some(at(3)));
        lanes.unsubscribe(Lane(1));
        assert_eq!((lanes.since(Lane(1)), lanes.first()), (None, Some(at(4))));
    }

    #[test]
    fn what_came_by_a_link_before_says_nothing_of_this_one() {
        let mut lanes = Lanes::default();
        lanes.hear(at(1), Lane(1));
        lanes.subscribe(at(2), Lane(1));
        assert_eq!(lanes.heard(Lane(1)), None);
        lanes.hear(at(3), Lane(1));
        assert_eq!(lanes.heard(Lane(1)), Some(at(3)));
        lanes.connected();
        assert_eq!(lanes.heard(Lane(1)), None);
    }
}
