//! Nodes for which there is no room beside those that are kept track of: what they publish is dropped, and that is told.

use core::time::Duration;

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

    /// A frame of one came, which published last at this moment at the latest, on lanes that are ours since then. True if there
    /// was no such node lately.
    pub(super) fn came(&mut self, now: Instant, ours: Instant, published: Option<Instant>) -> bool {
        self.dropped(ours, published);
        self.heard.replace(now).is_none()
    }

    /// What a node published until this moment is dropped. What was published before this was told last is told.
    pub(super) fn dropped(&mut self, ours: Instant, published: Option<Instant>) {
        let known = self.told.unwrap_or(ours);
        self.untold |= published.is_some_and(|published| published > known);
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(2);

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn what_is_dropped_is_told_once_a_heartbeat_and_covers_what_is_late() {
        let mut beyond = BeyondRoom::default();
        let window = (at(10), Duration::from_secs(30));
        assert_eq!(beyond.due(at(50), HEARTBEAT, window), None);
        assert!(beyond.came(at(50), at(10), Some(at(50))));
        assert!(!beyond.came(at(50), at(10), Some(at(50))));
        assert_eq!(
            beyond.due(at(50), HEARTBEAT, window),
            Some((at(10), at(50)))
        );
        beyond.came(at(51), at(10), Some(at(51)));
        assert_eq!(beyond.due(at(51), HEARTBEAT, window), None);
        assert_eq!(
            beyond.due(at(52), HEARTBEAT, window),
            Some((at(20), at(52)))
        );
        assert_eq!(beyond.due(at(60), HEARTBEAT, window), None);
    }

    #[test]
    fn what_was_published_before_it_was_told_last_is_told() {
        let mut beyond = BeyondRoom::default();
        let window = (at(10), Duration::from_secs(30));
        // Nothing, and when the lane was not ours.
        beyond.came(at(50), at(10), None);
        beyond.came(at(50), at(10), Some(at(10)));
        assert_eq!(beyond.due(at(50), HEARTBEAT, window), None);
        beyond.came(at(50), at(10), Some(at(11)));
        assert!(beyond.due(at(50), HEARTBEAT, window).is_some());
        beyond.dropped(at(10), Some(at(50)));
        assert_eq!(beyond.due(at(55), HEARTBEAT, window), None);
        beyond.dropped(at(10), Some(at(51)));
        assert!(beyond.due(at(55), HEARTBEAT, window).is_some());
    }
}
