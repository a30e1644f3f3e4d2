//! The lanes that the link brings, since when they are ours to receive, and when something came on each.

use alloc::collections::BTreeMap;

use crate::bus::Lane;
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Lanes(BTreeMap<Lane, Subscribed>);

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
        let heard = None;
        let subscribed = self.0.entry(lane).or_insert(Subscribed { since, heard });
        subscribed.since = since.min(subscribed.since);
    }

    pub(super) fn unsubscribe(&mut self, lane: Lane) {
        self.0.remove(&lane);
    }

    /// Since when the lane is ours.
    pub(super) fn since(&self, lane: Lane) -> Option<Instant> {
        self.0.get(&lane).map(|subscribed| subscribed.since)
    }

    /// Since when any lane is ours.
    pub(super) fn first(&self) -> Option<Instant> {
        self.0.values().map(|subscribed| subscribed.since).min()
    }

    /// A link begins, on which nothing came yet.
    pub(super) fn connected(&mut self) {
        self.0
            .values_mut()
            .for_each(|subscribed| subscribed.heard = None);
    }

    /// A frame came on the lane.
    pub(super) fn hear(&mut self, now: Instant, lane: Lane) {
        if let Some(subscribed) = self.0.get_mut(&lane) {
            subscribed.heard = Some(now);
        }
    }

    /// When a frame came last on the lane by this link.
    pub(super) fn heard(&self, lane: Lane) -> Option<Instant> {
        self.0.get(&lane).and_then(|subscribed| subscribed.heard)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Lane> {
        self.0.keys().copied()
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
