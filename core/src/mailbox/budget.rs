//! What many mailboxes may hold together.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A bound on the bytes that several mailboxes hold together: [`channel_within`](super::channel_within).
///
/// Up to half of the bound each mailbox has what its own [`Capacity`](super::Capacity) gives it. From there on each has its
/// share of the other half, in equal parts: one that holds more treats the next event as one that is full does, and one that
/// holds less goes on as before. So the bound is kept, a reader that keeps up is not affected by those that do not, and who
/// has most waiting loses first. Each thread that pushes at the moment may add one event to it. An event in several
/// mailboxes counts in each, though the bytes are there once. A mailbox in which something waits counts in steps of a 4,096th of
/// the bound and of 4 KiB at most, so that not every event changes what all of them share.
#[derive(Debug)]
pub struct Budget {
    bytes: usize,
    held: AtomicUsize,
    mailboxes: AtomicUsize,
}

/// The most that a mailbox takes of a budget at once, in bytes.
const LARGEST_STEP: usize = 4 << 10;

impl Budget {
    /// A bound of this many bytes, each event with 64 more.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self {
            bytes,
            held: AtomicUsize::new(0),
            mailboxes: AtomicUsize::new(0),
        }
    }

    /// The bytes that the mailboxes hold together at this moment.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// What one mailbox may hold at this moment.
    fn share(&self) -> usize {
        let half = self.bytes / 2;
        if self.held() < half {
            return usize::MAX;
        }
        half / self.mailboxes.load(Ordering::Relaxed).max(1)
    }

    fn step(&self) -> usize {
        (self.bytes / 4_096).clamp(1, LARGEST_STEP)
    }
}

/// What one mailbox takes of a budget.
#[derive(Debug)]
pub(super) struct Part {
    budget: Arc<Budget>,
    /// The bytes that are counted in the budget: at least those that the mailbox holds.
    counted: usize,
}

impl Part {
    /// The part of a new mailbox.
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        budget.mailboxes.fetch_add(1, Ordering::Relaxed);
        Self { budget, counted: 0 }
    }

    /// What the mailbox may hold at this moment.
    pub(super) fn most(&self) -> usize {
        self.budget.share()
    }

    /// The mailbox holds this many bytes now.
    pub(super) fn hold(&mut self, bytes: usize) {
        let step = self.budget.step();
        let spare = match bytes {
            0 => 0,
            _ => step,
        };
        if bytes <= self.counted && self.counted - bytes <= spare {
            return;
        }
        let counted = bytes.checked_next_multiple_of(step).unwrap_or(bytes);
        let held = &self.budget.held;
        match counted > self.counted {
            true => held.fetch_add(counted - self.counted, Ordering::Relaxed),
            false => held.fetch_sub(self.counted - counted, Ordering::Relaxed),
        };
        self.counted = counted;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.hold(0);
        self.budget.mailboxes.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_counts_in_steps_and_nothing_once_it_is_empty() {
        let budget = Arc::new(Budget::new(1 << 30));
        let mut part = Part::new(budget.clone());
        let mut counted = |bytes| {
            part.hold(bytes);
            budget.held()
        };
        assert_eq!(counted(1), LARGEST_STEP);
        assert_eq!(counted(LARGEST_STEP), LARGEST_STEP);
        assert_eq!(counted(LARGEST_STEP + 1), LARGEST_STEP * 2);
        assert_eq!(counted(LARGEST_STEP), LARGEST_STEP * 2);
        assert_eq!(counted(1), LARGEST_STEP);
        assert_eq!(counted(0), 0);
        assert_eq!(counted(usize::MAX / 2), usize::MAX / 2 + 1);
        drop(part);
        assert_eq!((budget.held(), budget.share()), (0, usize::MAX));
    }
}
