//! The report that events may be missing: what the registry, sinks, mailboxes and notices say of it.

use alloc::vec::Vec;
use core::fmt;

use crate::bus::Lane;
use crate::time::Instant;

/// The most lanes that are named one by one; more are all.
const NAMED: usize = 8;

/// A report that a connection, or a node, may not have got every event.
///
/// The report covers events that were published between two instants. Who fetches what it needs again when the report
/// arrives has everything that was published before that moment, so one report is enough however many events an
/// incident cost.
///
/// ```
/// use core::time::Duration;
/// use midplane_core::bus::Lane;
/// use midplane_core::{Instant, Missed, MissedLanes};
///
/// let at = |seconds| Instant::from_origin(Duration::from_secs(seconds));
/// let mut missed = Missed::counted(3_000, Lane(4), at(5), at(6));
/// missed.merge(&Missed::uncounted(Lane(7), at(2), at(3)));
/// assert_eq!((missed.events, missed.exact), (3_000, false));
/// assert_eq!(missed.lanes, MissedLanes::from_iter([Lane(4), Lane(7)]));
/// assert_eq!((missed.since, missed.until), (at(2), at(6)));
/// assert_eq!(missed.to_string(), "events=3000 exact=false lanes=4,7 within=4s");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missed {
    /// How many events are known to be missing on those lanes, whatever their audience was.
    pub events: u64,
    /// Whether these are all: if not, others that nobody can count may be missing too.
    pub exact: bool,
    /// The lanes that the events were published on.
    pub lanes: MissedLanes,
    /// The earliest instant, on the clock of this node, at which one of the events can have been published.
    pub since: Instant,
    /// The latest such instant.
    pub until: Instant,
}

impl Missed {
    /// A report of no event of no time.
    #[cfg(test)]
    pub(crate) const NOTHING: Self = Self {
        events: 0,
        exact: true,
        lanes: MissedLanes::NONE,
        since: Instant::ZERO,
        until: Instant::ZERO,
    };

    /// A report of exactly so many events.
    #[must_use]
    pub fn counted(
        events: u64,
        lanes: impl Into<MissedLanes>,
        since: Instant,
        until: Instant,
    ) -> Self {
        Self {
            events,
            exact: true,
            lanes: lanes.into(),
            since,
            until,
        }
    }

    /// A report that any event of that time may be missing, and that none is known to be.
    #[must_use]
    pub fn uncounted(lanes: impl Into<MissedLanes>, since: Instant, until: Instant) -> Self {
        Self {
            exact: false,
            ..Self::counted(0, lanes, since, until)
        }
    }

    /// Makes one report of two: it covers what both covered, and counts the events of both.
    pub fn merge(&mut self, other: &Self) {
        self.events = self.events.saturating_add(other.events);
        self.exact &= other.exact;
        self.lanes.merge(other.lanes);
        self.since = self.since.min(other.since);
        self.until = self.until.max(other.until);
    }
}

/// As fields of a line of a log.
impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            events,
            exact,
            lanes,
            since,
            until,
        } = *self;
        let within = until - since;
        write!(
            f,
            "events={events} exact={exact} lanes={lanes} within={within:?}"
        )
    }
}

/// The lanes of a report: up to eight by name, or all lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissedLanes {
    /// The lanes in ascending order, and behind them lane 0 in every place that is not used.
    named: [Lane; NAMED],
    /// How many are named; `None` for all lanes.
    count: Option<u8>,
}

impl MissedLanes {
    /// Every lane.
    pub const ALL: Self = Self {
        named: [Lane(0); NAMED],
        count: None,
    };

    /// No lane.
    const NONE: Self = Self {
        count: Some(0),
        ..Self::ALL
    };

    /// The lanes, each once and in ascending order; `None` for all lanes.
    #[must_use]
    pub fn named(&self) -> Option<&[Lane]> {
        self.count
            .map(|count| &self.named[..usize::from(count).min(NAMED)])
    }

    /// Whether the lane is one of these.
    #[must_use]
    pub fn contains(&self, lane: Lane) -> bool {
        self.named()
            .is_none_or(|named| named.binary_search(&lane).is_ok())
    }

    /// Whether every lane of `other` is one of these.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self.named(), other.named()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(others)) => others.iter().all(|lane| self.contains(*lane)),
        }
    }

    /// Whether a connection may have missed an event if it was in any target at all: all lanes are meant, or lane 0
    /// is one of these, on which events for several targets travel.
    #[must_use]
    pub fn concern_everyone(&self) -> bool {
        self.contains(Lane(0))
    }

    /// Whether a connection in a target on this lane may have missed an event.
    #[must_use]
    pub fn concern(&self, lane: Lane) -> bool {
        self.concern_everyone() || self.contains(lane)
    }

    /// Adds the lanes of another report.
    pub fn merge(&mut self, other: Self) {
        let (Some(named), Some(others)) = (self.named(), other.named()) else {
            *self = Self::ALL;
            return;
        };
        *self = named.iter().chain(others).copied().collect();
    }
}

impl From<Lane> for MissedLanes {
    fn from(lane: Lane) -> Self {
        Self::from_iter([lane])
    }
}

/// More than eight different lanes are all lanes.
impl FromIterator<Lane> for MissedLanes {
    fn from_iter<I: IntoIterator<Item = Lane>>(lanes: I) -> Self {
        let mut all: Vec<Lane> = lanes.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        let mut made = Self::NONE;
        match made.named.get_mut(..all.len()) {
            Some(named) => {
                named.copy_from_slice(&all);
                made.count = Some(all.len() as u8);
                made
            }
            None => Self::ALL,
        }
    }
}

/// The numbers of the lanes with commas between, or `all`.
impl fmt::Display for MissedLanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(named) = self.named() else {
            return f.write_str("all");
        };
        for (number, lane) in named.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{lane}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use core::time::Duration;

    use super::*;

    fn lanes(numbers: impl IntoIterator<Item = u32>) -> MissedLanes {
        numbers.into_iter().map(Lane).collect()
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn eight_lanes_are_named_and_nine_are_all() {
        let mut some = lanes([7, 3, 3, 1, 2, 4, 6, 5]);
        assert_eq!(some.named().unwrap().len(), 7);
        some.merge(lanes([9]));
        assert_eq!(some.to_string(), "1,2,3,4,5,6,7,9");
        assert!(some.contains(Lane(9)) && !some.contains(Lane(8)));
        assert!(some.covers(&lanes([1, 9])) && !some.covers(&lanes([1, 8])));
        assert!(!some.covers(&MissedLanes::ALL) && MissedLanes::ALL.covers(&some));
        some.merge(lanes([8]));
        assert_eq!(some, MissedLanes::ALL);
        assert_eq!(some.to_string(), "all");
        some.merge(lanes([8]));
        assert_eq!(some, MissedLanes::ALL);
    }

    /// Events for several targets travel on lane 0.
    #[test]
    fn lane_0_concerns_members_of_every_lane() {
        assert!(lanes([3]).concern(Lane(3)) && !lanes([3]).concern(Lane(4)));
        assert!(lanes([0, 3]).concern(Lane(4)) && MissedLanes::ALL.concern(Lane(4)));
        assert!(!lanes([]).concern(Lane(0)));
    }

    #[test]
    fn a_merged_report_covers_both() {
        let mut missed = Missed::counted(u64::MAX, Lane(1), at(5), at(6));
        missed.merge(&Missed::counted(2, Lane(2), at(1), at(2)));
        let both = Missed::counted(u64::MAX, lanes([1, 2]), at(1), at(6));
        assert_eq!(missed, both);
        missed.merge(&Missed::uncounted(Lane(1), at(5), at(9)));
        assert!(!missed.exact && missed.until == at(9));
    }
}
