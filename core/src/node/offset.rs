//! The offset between another node's clock and ours, estimated from the frames that came.

use core::time::Duration;

use crate::time::Instant;

/// How many of the smallest differences are kept. The largest of them is the estimate, so two forged frames do not
/// move it.
const KEPT: usize = 3;

/// How many slots a window has: stretches of time in which frames came.
const SLOTS: u32 = 4;

/// Estimates by how much our clock is ahead of the origin's.
///
/// Each frame gives a difference: when it came on our clock, less when it was made on the origin's. The estimate is
/// the third smallest of the last two windows of four slots each. When the younger window is full it becomes the older,
/// which is dropped: a forged difference, or one from before a clock stood still, counts for two windows at most. A slot
/// has a least length, so a burst of late frames fills only one.
#[derive(Debug, Default)]
pub(super) struct Offset {
    /// When the latest slot began, on our clock.
    slot: Instant,
    /// How many slots the younger window has.
    slots: u32,
    younger: Smallest,
    older: Smallest,
}

/// Our clock less the origin's, in nanoseconds; negative if the origin's began first. A `Duration` has 94 bits of them.
type Difference = i128;

/// The smallest differences, in rising order.
type Smallest = [Option<Difference>; KEPT];

impl Offset {
    /// Records a frame that the origin made at `sent`, and gives how much later it came than the fastest of late. The
    /// first two frames of an origin have nothing to be compared with: they are given no age. A slot is `apart` long
    /// at least.
    pub(super) fn age(&mut self, now: Instant, sent: Duration, apart: Duration) -> Duration {
        if now - self.slot >= apart {
            self.slot = now;
            self.slots += 1;
        }
        if self.slots > SLOTS {
            self.slots = 1;
            self.older = core::mem::take(&mut self.younger);
        }
        let difference = now.since_origin().as_nanos() as i128 - sent.as_nanos() as i128;
        insert(&mut self.younger, difference);
        let age = difference - self.estimate().unwrap_or(difference);
        Duration::from_nanos(u64::try_from(age.max(0)).unwrap_or(u64::MAX))
    }

    /// Converts a time of the origin's clock to ours. The result is too late by what the fastest frames took on their
    /// way, and zero if our clock had not begun.
    pub(super) fn ours(&self, theirs: Duration) -> Option<Instant> {
        let ours = theirs.as_nanos() as i128 + self.estimate()?;
        let ours = u64::try_from(ours.max(0)).unwrap_or(u64::MAX);
        Some(Instant::from_origin(Duration::from_nanos(ours)))
    }

    /// By how much our clock is ahead, or somewhat more; `None` before the first frame.
    fn estimate(&self) -> Option<Difference> {
        let mut both = self.younger;
        for difference in self.older.into_iter().flatten() {
            insert(&mut both, difference);
        }
        both.into_iter().flatten().last()
    }
}

/// Puts the difference in its place, if it is one of the smallest.
fn insert(smallest: &mut Smallest, difference: Difference) {
    let mut rest = Some(difference);
    for kept in smallest {
        if kept.is_none() || *kept > rest {
            core::mem::swap(kept, &mut rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APART: Duration = Duration::from_secs(1);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn at(second: u64) -> Instant {
        Instant::from_origin(seconds(second))
    }

    /// An offset that knows a clock which began 50 s after ours.
    fn known() -> Offset {
        let mut offset = Offset::default();
        for second in 100..103 {
            offset.age(at(second), seconds(second - 50), APART);
        }
        offset
    }

    #[test]
    fn age_is_judged_against_the_fastest_frames() {
        let mut offset = known();
        for (now, sent, age) in [(103, 53, 0), (106, 54, 2), (107, 57, 0), (140, 58, 32)] {
            let judged = offset.age(at(now), seconds(sent), APART);
            assert_eq!(judged, seconds(age), "{now}");
        }
        assert_eq!(offset.ours(seconds(10)), Some(at(60)));
    }

    #[test]
    fn a_flood_of_late_frames_does_not_fill_the_windows() {
        let mut offset = known();
        for now in [180, 181, 200, 300] {
            for sent in 60..90 {
                let judged = offset.age(at(now), seconds(sent), APART);
                assert_eq!(judged, seconds(now - 50 - sent));
            }
        }
    }

    #[test]
    fn two_forged_times_do_not_change_the_age_of_honest_frames() {
        for forged in [Duration::ZERO, seconds(1_000), Duration::MAX] {
            for mut offset in [known(), Offset::default()] {
                for _ in 1..KEPT {
                    offset.age(at(103), forged, APART);
                }
                for second in 104..110 {
                    let age = offset.age(at(second), seconds(second - 50), APART);
                    assert_eq!(age, Duration::ZERO, "{forged:?} before {second}");
                }
                assert_eq!(offset.ours(seconds(1)), Some(at(51)), "{forged:?}");
            }
        }
    }

    #[test]
    fn a_flood_of_forged_times_is_forgotten_after_two_windows() {
        let mut offset = known();
        for _ in 0..100 {
            offset.age(at(103), seconds(5_000), APART);
        }
        let mut age = Duration::ZERO;
        let two_windows = 2 * u64::from(SLOTS);
        for second in 104..=104 + two_windows {
            age = offset.age(at(second), seconds(second - 50), APART);
        }
        assert_eq!(age, Duration::ZERO);
    }
}
