//! What the mailboxes of a plane's connections did not deliver, added up.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::mailbox::MailboxCounters;

/// Counts that are written when a reader is told of a loss and when a connection ends.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    dropped: AtomicU64,
    superseded: AtomicU64,
    abandoned: AtomicU64,
}

impl Mailboxes {
    /// A reader was told that so many events are lost.
    pub(crate) fn lost(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
    }

    /// A connection ended with these counts, of whose losses its reader was told so many.
    pub(crate) fn ended(&self, counters: MailboxCounters, told: u64) {
        self.lost(counters.dropped.saturating_sub(told));
        self.superseded
            .fetch_add(counters.superseded, Ordering::Relaxed);
        self.abandoned
            .fetch_add(counters.abandoned, Ordering::Relaxed);
    }

    pub(crate) fn counters(&self) -> MailboxCounters {
        let mut counters = MailboxCounters::default();
        counters.dropped = self.dropped.load(Ordering::Relaxed);
        counters.superseded = self.superseded.load(Ordering::Relaxed);
        counters.abandoned = self.abandoned.load(Ordering::Relaxed);
        counters
    }
}
