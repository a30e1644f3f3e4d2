//! The sequence of one origin on one lane: duplicates, gaps, and numbers that were never sent.

use core::time::Duration;

use super::config::SLACK;
use super::run::Run;
use crate::envelope::Heartbeat;
use crate::time::Instant;

/// A number so far above the highest is not believed before a heartbeat reports it.
const FAR: u64 = 1 << 16;

/// What a number turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// New, and behind these that did not come, if any are known to be missing.
    New(Option<Run>),
    /// Heard before, or behind one that was: not to be delivered.
    Old,
    /// Far beyond what was heard: not to be delivered. If it was not forged, the next heartbeat reports
    /// that it is missing.
    Far,
}

/// The state of one origin on one lane. It has a fixed size, whatever arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    /// The highest number that was heard or given up.
    high: u64,
    joined: Joined,
    mark: Option<Mark>,
}

/// What had arrived when a heartbeat did. Later heartbeats will show whether it had been sent by then.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// When the heartbeat was heard, on our clock, and sent, on the origin's.
    heard: Instant,
    sent: Duration,
    /// The highest number then.
    high: u64,
}

/// Whether it is known which numbers are ours to account for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joined {
    /// Every number above the highest is.
    Yes,
    /// Some above the highest may have been sent before it was ours to receive them.
    Awaiting,
    /// Some of these, which are missing before the first number that arrived, may have been sent before it was ours to
    /// receive them.
    Unverified(Option<Run>),
}

impl Sequence {
    /// Nothing was heard yet; the next heartbeat reports which numbers should have arrived.
    pub(super) fn new() -> Self {
        Self {
            high: 0,
            joined: Joined::Awaiting,
            mark: None,
        }
    }

    /// Some numbers after the highest may have been sent before it was ours to hear them.
    pub(super) fn join(&mut self) {
        self.joined = Joined::Awaiting;
    }

    /// Whether the next heartbeat has to report which numbers are ours to account for.
    pub(super) fn is_joining(&self) -> bool {
        self.joined != Joined::Yes
    }

    pub(super) fn arrive(&mut self, number: u64) -> Arrival {
        if number <= self.high {
            return Arrival::Old;
        }
        if number - self.high > FAR && self.joined != Joined::Awaiting {
            return Arrival::Far;
        }
        let missing = Run::between(self.high, number - 1);
        self.high = number;
        if self.joined == Joined::Awaiting {
            self.joined = Joined::Unverified(missing);
            return Arrival::New(None);
        }
        Arrival::New(missing)
    }

    /// A heartbeat says that `last` was the last number by the newest of those before it. If we had heard of
    /// a higher one by then, that was forged, and what comes next is new again. A mark that nothing follows
    /// for a `window` may be forged itself and gives way.
    pub(super) fn verify_mark(
        &mut self,
        now: Instant,
        window: Duration,
        beat: &Heartbeat,
        last: u64,
    ) {
        let newest = beat.earlier.last().copied().unwrap_or_default();
        if let Some(mark) = self.mark {
            if newest < mark.sent + SLACK {
                if now - mark.heard < window {
                    return;
                }
            } else if last < mark.high {
                self.high = last;
            }
        }
        self.mark = Some(Mark {
            heard: now,
            sent: beat.sent,
            high: self.high,
        });
    }

    /// The origin says that it had sent up to `before` when its numbers became ours to hear, and up to
    /// `last` since. Gives what should have come and did not: at the start, and at the end.
    pub(super) fn progress(&mut self, before: u64, last: u64) -> [Option<Run>; 2] {
        let mut start = None;
        if let Joined::Unverified(Some(run)) = self.joined {
            start = Run::between(before.max(run.first - 1), run.last);
        }
        if self.is_joining() {
            self.high = self.high.max(before);
            self.joined = Joined::Yes;
        }
        let end = Run::between(self.high, last);
        self.high = self.high.max(last);
        [start, end]
    }

    /// What was sent up to this number is nothing to account for.
    pub(super) fn rebase(&mut self, last: u64) {
        self.joined = Joined::Awaiting;
        self.high = self.high.max(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, last: u64) -> Option<Run> {
        Some(Run { first, last })
    }

    /// Everything up to this number is accounted for.
    fn after(last: u64) -> Sequence {
        let mut sequence = Sequence::new();
        assert_eq!(sequence.progress(last, last), [None, None]);
        assert_eq!(sequence.progress(last, last), [None, None]);
        sequence
    }

    #[test]
    fn numbers_rise_and_what_is_skipped_is_missing() {
        let mut sequence = after(0);
        for (number, expected) in [
            (1, Arrival::New(None)),
            (1, Arrival::Old),
            (2, Arrival::New(None)),
            (5, Arrival::New(run(3, 4))),
            (4, Arrival::Old),
            (6, Arrival::New(None)),
        ] {
            assert_eq!(sequence.arrive(number), expected, "{number}");
        }
        assert_eq!(sequence.progress(0, 6), [None, None]);
        assert_eq!(sequence.progress(2, 9), [None, run(7, 9)]);
        assert_eq!(sequence.arrive(9), Arrival::Old);
    }

    #[test]
    fn a_first_contact_is_judged_by_the_next_heartbeat() {
        let joining = |high| {
            let mut sequence = after(high);
            sequence.join();
            sequence
        };
        let mut sequence = joining(0);
        assert_eq!(sequence.arrive(58), Arrival::New(None));
        assert_eq!(sequence.arrive(59), Arrival::New(None));
        assert_eq!(sequence.progress(50, 59), [run(51, 57), None]);
        assert_eq!(sequence.progress(55, 59), [None, None]);
        let mut early = joining(0);
        assert_eq!(early.arrive(10), Arrival::New(None));
        assert_eq!(early.progress(20, 21), [None, run(21, 21)]);
        let mut heard_before = joining(30);
        assert_eq!(heard_before.arrive(40), Arrival::New(None));
        assert_eq!(heard_before.progress(25, 41), [run(31, 39), run(41, 41)]);
        let mut silent = joining(30);
        assert_eq!(silent.progress(35, 37), [None, run(36, 37)]);
    }

    #[test]
    fn what_comes_after_a_first_contact_is_not_in_doubt() {
        let mut sequence = Sequence::new();
        assert_eq!(sequence.arrive(58), Arrival::New(None));
        assert_eq!(sequence.arrive(61), Arrival::New(run(59, 60)));
        assert_eq!(sequence.progress(57, 61), [None, None]);
    }

    const WINDOW: Duration = Duration::from_secs(8);

    /// The heartbeats between these seconds, two seconds apart, with a last number that does not change.
    fn beats(sequence: &mut Sequence, seconds: core::ops::Range<u64>, last: u64) {
        for second in seconds.step_by(2) {
            beat(sequence, second, Duration::from_secs(second), last);
        }
    }

    fn beat(sequence: &mut Sequence, second: u64, sent: Duration, last: u64) {
        let beat = Heartbeat {
            version: Default::default(),
            hello: false,
            sent,
            earlier: [sent.saturating_sub(Duration::from_secs(2))].into(),
            lanes: Default::default(),
        };
        sequence.verify_mark(
            Instant::from_origin(Duration::from_secs(second)),
            WINDOW,
            &beat,
            last,
        );
        sequence.progress(last, last);
    }

    #[test]
    fn a_number_from_afar_costs_nothing() {
        let mut sequence = after(100);
        for forged in [u64::MAX, 1 << 40, 101 + FAR] {
            assert_eq!(sequence.arrive(forged), Arrival::Far);
        }
        assert_eq!(sequence.arrive(101), Arrival::New(None));
    }

    #[test]
    fn a_number_from_afar_counts_once_a_heartbeat_tells_of_it() {
        let mut sequence = after(100);
        assert_eq!(sequence.arrive(1 << 40), Arrival::Far);
        let last = 1 << 40;
        assert_eq!(sequence.progress(0, last), [None, run(101, last)]);
        assert_eq!(sequence.arrive(last), Arrival::Old);
        assert_eq!(sequence.arrive(last + 1), Arrival::New(None));
    }

    #[test]
    fn a_forged_number_costs_a_gap_and_no_more_than_four_heartbeats() {
        for at in [0, 1] {
            let mut sequence = after(100);
            beats(&mut sequence, 0..1 + at, 100);
            assert_eq!(sequence.arrive(5_000), Arrival::New(run(101, 4_999)));
            beats(&mut sequence, 1 + at..10, 100);
            assert_eq!(sequence.arrive(101), Arrival::New(None), "{at}");
        }
    }

    #[test]
    fn neither_does_a_forged_heartbeat_or_first_contact() {
        for forged in [5_000, 1 << 50, u64::MAX] {
            let mut sequence = after(100);
            assert_eq!(sequence.progress(0, forged), [None, run(101, forged)]);
            beats(&mut sequence, 0..10, 100);
            assert_eq!(sequence.arrive(101), Arrival::New(None), "{forged}");
            let mut sequence = Sequence::new();
            assert_eq!(sequence.arrive(forged), Arrival::New(None));
            assert_eq!(sequence.progress(40, 42), [run(41, forged - 1), None]);
            beats(&mut sequence, 0..10, 43);
            assert_eq!(sequence.arrive(44), Arrival::New(None), "{forged}");
        }
    }

    #[test]
    fn a_heartbeat_from_the_future_is_forgotten() {
        let mut sequence = after(100);
        beat(&mut sequence, 1, Duration::from_micros(u64::MAX), 5_000);
        beats(&mut sequence, 2..16, 100);
        assert_eq!(sequence.arrive(101), Arrival::New(None));
    }

    #[test]
    fn what_is_repeated_or_late_is_never_new() {
        let mut sequence = after(100);
        for number in 1_000..1_010 {
            sequence.arrive(number);
        }
        beats(&mut sequence, 0..20, 1_009);
        for number in 90..1_010 {
            assert_eq!(sequence.arrive(number), Arrival::Old, "{number}");
        }
    }
}
