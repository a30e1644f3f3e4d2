//! What many mailboxes may hold together.

use core::sync::atomic::{AtomicUsize, Ordering};

/// A bound on the bytes that several mailboxes hold together: [`channel_within`](super::channel_within).
///
/// Up to half of the bound each mailbox has what its own [`Capacity`](super::Capacity) gives it. From there on each has its
/// share of the other half, in equal parts: one that holds more treats the next event as one that is full does, and one that
/// holds less goes on as before. So the bound is kept, a reader that keeps up is not affected by those that do not, and who
/// has most waiting loses first. Each thread that pushes at the moment may add one event to it. An event in several
/// mailboxes counts in each, though the bytes are there once.
#[derive(Debug)]
pub struct Budget {
    bytes: usize,
    held: AtomicUsize,
    mailboxes: AtomicUsize,
}

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
    pub(super) fn share(&self) -> usize {
        let half = self.bytes / 2;
        if self.held() < half {
            return usize::MAX;
        }
        half / self.mailboxes.load(Ordering::Relaxed).max(1)
    }

    pub(super) fn opened(&self) {
        self.mailboxes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.mailboxes.fetch_sub(1, Ordering::Relaxed);
    }

    /// A mailbox held the first number of bytes, and holds the second now.
    pub(super) fn changed(&self, before: usize, now: usize) {
        if now > before {
            self.held.fetch_add(now - before, Ordering::Relaxed);
        } else if now < before {
            self.held.fetch_sub(before - now, Ordering::Relaxed);
        }
    }
}
