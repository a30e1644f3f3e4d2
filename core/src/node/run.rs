//! A range of sequence numbers.

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
}
