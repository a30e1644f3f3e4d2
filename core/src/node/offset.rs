//! How another node's clock stands to ours.

use core::time::Duration;

/// How many heartbeats the smallest difference is looked for in: about two minutes at the default, in
/// which two clocks part by some milliseconds and no thaw fills it with stale frames.
const BEATS: u32 = 64;

/// How many frames have to agree before one that disagrees is doubted, or before it is believed.
const BELIEVED: u8 = 3;

/// The smallest difference between our clock and the origin's, over the last heartbeats: two windows, of
/// which the older gives way when the younger is full.
#[derive(Debug, Default)]
pub(super) struct Offset {
    beats: u32,
    younger: Option<Difference>,
    older: Option<Difference>,
    /// How many frames agreed with the smallest, and a smaller or yet unrefuted one with its own.
    agreed: u8,
    rival: Option<(Difference, u8)>,
}

/// Our clock less theirs, in nanoseconds; either may have begun first. A `Duration` has 94 bits of them.
type Difference = i128;

impl Offset {
    /// Counts a heartbeat.
    pub(super) fn beat(&mut self) {
        self.beats += 1;
        if self.beats > BEATS {
            self.beats = 1;
            self.older = self.younger.take();
        }
    }

    /// How old a frame is that its origin made at `sent`, beside the fastest it sent lately. One that differs
    /// by more than `tolerance` from too few others to tell which of them is forged counts as new.
    pub(super) fn age(&mut self, now: Duration, sent: Duration, tolerance: Duration) -> Duration {
        let difference = difference(now, sent);
        let tolerance = tolerance.as_nanos() as i128;
        let least = self.least().unwrap_or(difference);
        if (difference - least).abs() <= tolerance {
            self.agreed = self.agreed.saturating_add(1);
            self.rival = None;
            self.note(difference);
        } else if difference < least || self.agreed < BELIEVED {
            let (rival, agreed) = match self.rival {
                Some((rival, agreed)) if (difference - rival).abs() <= tolerance => {
                    (rival.min(difference), agreed + 1)
                }
                _ => (difference, 1),
            };
            self.rival = Some((rival, agreed));
            if agreed >= BELIEVED {
                *self = Self {
                    beats: self.beats,
                    younger: Some(rival),
                    older: None,
                    agreed,
                    rival: None,
                };
            }
            return Duration::ZERO;
        } else {
            self.note(difference);
        }
        let age = difference - self.least().unwrap_or(difference);
        Duration::from_nanos(u64::try_from(age).unwrap_or(u64::MAX))
    }

    /// Whether a moment of the origin's clock can have come by `now`, with some tolerance.
    pub(super) fn allows(&self, now: Duration, sent: Duration, tolerance: Duration) -> bool {
        let tolerance = tolerance.as_nanos() as i128;
        self.least()
            .is_none_or(|least| difference(now, sent) >= least - tolerance)
    }

    /// A moment of the origin's clock on ours, or somewhat later; zero if ours had not begun.
    pub(super) fn ours(&self, theirs: Duration) -> Option<Duration> {
        let ours = theirs.as_nanos() as i128 + self.least()?;
        let ours = u64::try_from(ours.max(0)).unwrap_or(u64::MAX);
        Some(Duration::from_nanos(ours))
    }

    fn least(&self) -> Option<Difference> {
        [self.younger, self.older].into_iter().flatten().min()
    }

    fn note(&mut self, difference: Difference) {
        let younger = self
            .younger
            .map_or(difference, |least| least.min(difference));
        self.younger = Some(younger);
    }
}

fn difference(now: Duration, sent: Duration) -> Difference {
    now.as_nanos() as i128 - sent.as_nanos() as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(15);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn age_is_judged_against_the_fastest_frame() {
        let mut offset = Offset::default();
        for (now, sent, age) in [
            (100, 5, 0),
            (101, 6, 0),
            (104, 7, 2),
            (105, 11, 0),
            (150, 12, 44),
        ] {
            assert_eq!(
                offset.age(seconds(now), seconds(sent), TOLERANCE),
                seconds(age),
                "{now}"
            );
        }
        assert_eq!(offset.ours(seconds(10)), Some(seconds(104)));
    }

    #[test]
    fn a_forged_time_mutes_nobody() {
        for forged in [
            Duration::ZERO,
            seconds(1_000),
            Duration::from_micros(u64::MAX),
            Duration::MAX,
        ] {
            // Among others, and as the first of all.
            for before in [0, 10] {
                let mut offset = Offset::default();
                for second in 100..100 + before {
                    offset.age(seconds(second), seconds(second - 50), TOLERANCE);
                }
                offset.age(seconds(200), forged, TOLERANCE);
                for second in 201..210 {
                    let age = offset.age(seconds(second), seconds(second - 50), TOLERANCE);
                    assert_eq!(age, Duration::ZERO, "{forged:?} before {second}");
                }
                assert_eq!(offset.ours(seconds(1)), Some(seconds(51)), "{forged:?}");
            }
        }
    }
}
