//! Where a fact stands in its history.

use std::time::Duration;

/// The position of a fact in the history, and its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) position: usize,
    pub(super) at: Duration,
}

impl Point {
    /// Before everything that ever happens.
    pub(super) const START: Self = Self {
        position: 0,
        at: Duration::ZERO,
    };

    /// Behind everything that ever happens.
    pub(super) const NEVER: Self = Self {
        position: usize::MAX,
        at: Duration::MAX,
    };
}

impl Default for Point {
    fn default() -> Self {
        Self::START
    }
}
