//! What was heard of one origin on one lane: duplicates, gaps, and numbers nobody sent.

/// How many numbers a frame may be late by, behind others of its lane, without casting doubt on them. A
/// bus keeps the order of a lane, so nothing is ever late on one that does what it promises.
const LATE: u64 = 64;

/// How many numbers in a row it takes to believe that the highest was forged.
const BELIEVED: u64 = 3;

/// How many heartbeats in a row it takes to believe in a leap.
const CONFIRMED: u8 = 2;

/// How far below the highest nothing is repeated any more: numbers in a row down there are evidence too.
const WINDOW: u64 = 1 << 16;

/// A run of numbers, both ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

impl Run {
    pub(super) fn of(number: u64) -> Self {
        let (first, last) = (number, number);
        Self { first, last }
    }

    fn between(after: u64, until: u64) -> Option<Self> {
        let first = after.checked_add(1)?;
        (first <= until).then_some(Self { first, last: until })
    }
}

/// What a number turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// New, and behind these that did not come, if any are known to be missing.
    New(Option<Run>),
    /// Heard before, or behind one that was: not to be delivered.
    Old,
}

/// The state of one origin on one lane. It has a fixed size, whatever arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    /// The highest number that was heard or given up.
    high: u64,
    joined: Joined,
    /// The latest leap that no heartbeat confirmed.
    leap: Option<Leap>,
    /// Where a run of numbers would go on that speaks against the highest, and how long it is.
    against: (u64, u64),
}

/// Whether it is known which numbers are ours to account for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joined {
    /// Every number above the highest is.
    Yes,
    /// Some above the highest may have been sent before it was ours to hear them.
    Awaiting,
    /// The same of these, which did not come before the first that did.
    Doubting(Option<Run>),
}

/// The numbers took a leap, which is what a forged number looks like: so what comes between its ends was
/// never delivered, and if it keeps coming, the leap was none of the origin's.
#[derive(Debug, Clone, Copy)]
struct Leap {
    from: u64,
    to: u64,
    /// How many heartbeats in a row told of numbers beyond it: one may have been forged with it.
    confirmed: u8,
}

impl Sequence {
    /// Nothing was heard yet; the next heartbeat tells which numbers should have been.
    pub(super) fn new() -> Self {
        Self {
            high: 0,
            joined: Joined::Awaiting,
            leap: None,
            against: (0, 0),
        }
    }

    /// Some numbers after the highest may have been sent before it was ours to hear them.
    pub(super) fn join(&mut self) {
        self.joined = Joined::Awaiting;
    }

    /// Whether the next heartbeat has to tell which numbers are ours to account for.
    pub(super) fn is_joining(&self) -> bool {
        self.joined != Joined::Yes
    }

    pub(super) fn arrive(&mut self, number: u64) -> Arrival {
        if number <= self.high {
            return self.fall_back(number);
        }
        let missing = Run::between(self.high, number - 1);
        self.rise(number);
        if self.joined == Joined::Awaiting {
            self.joined = Joined::Doubting(missing);
            return Arrival::New(None);
        }
        Arrival::New(missing)
    }

    /// The origin says that it had sent up to `before` when its numbers became ours to hear, and up to
    /// `last` since. Gives what should have come and did not: at the start, and at the end.
    pub(super) fn progress(&mut self, before: u64, last: u64) -> [Option<Run>; 2] {
        let mut start = None;
        if let Joined::Doubting(Some(run)) = self.joined {
            start = Run::between(before.max(run.first - 1), run.last);
        }
        if self.is_joining() {
            self.rise(self.high.max(before));
            self.joined = Joined::Yes;
        }
        if let Some(leap) = &mut self.leap {
            let confirms = leap.to <= last && last <= self.high;
            leap.confirmed = if confirms { leap.confirmed + 1 } else { 0 };
            self.leap = self.leap.filter(|leap| leap.confirmed < CONFIRMED);
        }
        let end = Run::between(self.high, last);
        self.rise(self.high.max(last));
        [start, end]
    }

    /// What was sent up to this number is nothing to account for.
    pub(super) fn forgive(&mut self, last: u64) {
        self.joined = Joined::Awaiting;
        self.rise(self.high.max(last));
    }

    fn rise(&mut self, high: u64) {
        if high - self.high > 2 * LATE && self.leap.is_none() {
            self.leap = Some(Leap {
                from: self.high,
                to: high,
                confirmed: 0,
            });
        }
        self.high = high;
    }

    /// A number that is not above the highest: is it old, or was the highest forged?
    fn fall_back(&mut self, number: u64) -> Arrival {
        let within = |leap: &Leap| leap.from < number && number < leap.to - LATE;
        let leap = self.leap.filter(within);
        if leap.is_none() && self.high - number <= WINDOW {
            return Arrival::Old;
        }
        let length = match self.against {
            (next, length) if next == number => length + 1,
            _ => 1,
        };
        self.against = (number + 1, length);
        if length < BELIEVED {
            return Arrival::Old;
        }
        self.leap = None;
        self.high = number;
        let from = leap.map_or(0, |leap| leap.from);
        // What was dropped to find out is missing. Before the first heartbeat all of it is in doubt.
        if let Joined::Doubting(Some(run)) = &mut self.joined
            && run.first > from
        {
            run.last = run.last.min(number - 1);
            return Arrival::New(None);
        }
        Arrival::New(Run::between(number.saturating_sub(BELIEVED), number - 1))
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

    #[test]
    fn a_forged_number_costs_a_gap_and_mutes_nobody() {
        for forged in [u64::MAX, 1 << 40, 5_000, 300] {
            let mut sequence = after(100);
            assert_eq!(sequence.arrive(forged), Arrival::New(run(101, forged - 1)));
            assert_eq!(sequence.arrive(101), Arrival::Old);
            assert_eq!(sequence.arrive(102), Arrival::Old);
            assert_eq!(sequence.arrive(103), Arrival::New(run(101, 102)));
            assert_eq!(sequence.arrive(104), Arrival::New(None));
        }
    }

    #[test]
    fn a_forged_heartbeat_mutes_nobody() {
        let mut sequence = after(100);
        assert_eq!(sequence.progress(0, u64::MAX), [None, run(101, u64::MAX)]);
        let mut sequence = after(100);
        assert_eq!(sequence.progress(0, 1 << 50), [None, run(101, 1 << 50)]);
        assert_eq!(
            sequence.arrive(u64::MAX),
            Arrival::New(run((1 << 50) + 1, u64::MAX - 1))
        );
        assert_eq!(sequence.arrive(101), Arrival::Old);
        assert_eq!(sequence.arrive(102), Arrival::Old);
        assert_eq!(sequence.arrive(103), Arrival::New(run(101, 102)));
    }

    #[test]
    fn a_first_contact_that_was_forged_is_forgotten() {
        let mut sequence = Sequence::new();
        assert_eq!(sequence.arrive(u64::MAX), Arrival::New(None));
        for number in [41, 42] {
            assert_eq!(sequence.arrive(number), Arrival::Old);
        }
        assert_eq!(sequence.arrive(43), Arrival::New(None));
        assert_eq!(sequence.progress(40, 43), [run(41, 42), None]);
    }

    #[test]
    fn what_is_repeated_or_late_is_never_taken_for_evidence() {
        let mut sequence = after(100);
        for number in 1_000..1_010 {
            sequence.arrive(number);
        }
        for number in (90..=100).chain(990..1_010) {
            assert_eq!(sequence.arrive(number), Arrival::Old, "{number}");
        }
        // Two heartbeats say that the leap was the origin's.
        assert_eq!(sequence.progress(0, 1_004), [None, None]);
        assert_eq!(sequence.progress(0, 1_005), [None, None]);
        for number in 200..300 {
            assert_eq!(sequence.arrive(number), Arrival::Old, "{number}");
        }
    }
}
