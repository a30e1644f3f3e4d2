//! How another node's clock stands to ours.

use core::time::Duration;

use crate::time::Instant;

/// How many smallest differences are kept, of which the largest counts: a forger has to make up so many
/// frames before one is believed.
const KEPT: usize = 3;

/// How many moments a window has in which frames came.
const MOMENTS: u32 = 4;

/// The smallest difference between our clock and the origin's of late: in two windows, of which the older
/// gives way when the younger is full. So nothing that was made up counts for longer than two windows,
/// a clock that stood still is followed as soon, and a flood of late frames is but one moment.
#[derive(Debug, Default)]
pub(super) struct Offset {
    /// The latest moment, on our clock, and how many the younger window has.
    moment: Instant,
    moments: u32,
    younger: Smallest,
    older: Smallest,
}

/// Our clock less theirs, in nanoseconds; either may have begun first. A `Duration` has 94 bits of them.
type Difference = i128;

/// In rising order.
type Smallest = [Option<Difference>; KEPT];

impl Offset {
    /// How old a frame is that its origin made at `sent`, beside the fastest it sent lately. Until three
    /// came, a late one is not known from a fast one. Moments are `apart` at least.
    pub(super) fn age(&mut self, now: Instant, sent: Duration, apart: Duration) -> Duration {
        if now - self.moment >= apart {
            self.moment = now;
            self.moments += 1;
        }
        if self.moments > MOMENTS {
            self.moments = 1;
            self.older = core::mem::take(&mut self.younger);
        }
        let difference = now.since_origin().as_nanos() as i128 - sent.as_nanos() as i128;
        insert(&mut self.younger, difference);
        let age = difference - self.least().unwrap_or(difference);
        Duration::from_nanos(u64::try_from(age.max(0)).unwrap_or(u64::MAX))
    }

    /// A moment of the origin's clock on ours, or somewhat later; zero if ours had not begun.
    pub(super) fn ours(&self, theirs: Duration) -> Option<Instant> {
        let ours = theirs.as_nanos() as i128 + self.least()?;
        let ours = u64::try_from(ours.max(0)).unwrap_or(u64::MAX);
        Some(Instant::from_origin(Duration::from_nanos(ours)))
    }

    /// The smallest that is believed.
    fn least(&self) -> Option<Difference> {
        let mut both = self.younger;
        for difference in self.older.into_iter().flatten() {
            insert(&mut both, difference);
        }
        both.into_iter().flatten().last()
    }
}

/// Puts the difference in its place, if it has one.
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
    fn a_forged_time_mutes_nobody() {
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
    fn even_a_flood_of_forged_times_is_forgotten() {
        let mut offset = known();
        for _ in 0..100 {
            offset.age(at(103), seconds(5_000), APART);
        }
        let mut age = Duration::ZERO;
        for second in 104..113 {
            age = offset.age(at(second), seconds(second - 50), APART);
        }
        assert_eq!(age, Duration::ZERO);
    }
}
