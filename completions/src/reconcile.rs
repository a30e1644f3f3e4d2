//! One walk through what was finished and not handled.

use alloc::vec::Vec;
use core::time::Duration;

use futures::channel::oneshot;

use super::{Cursor, Scan, Scanned};

/// What a walk of the reconciler found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Executions that the ledger showed.
    pub scanned: u64,
    /// Those whose handler had work to do, and did it.
    pub reconciled: u64,
    /// Those with nothing to do: their handler said so, or they were in other hands, or handled here
    /// before.
    pub no_op: u64,
    /// Those that the filter leaves out.
    pub filtered: u64,
    /// Those whose handler failed, and calls of the ledger that did.
    pub errors: u64,
}

/// A walk: pages, one after the other, until the last or as many as one walk may take.
///
/// The next walk goes on where this one stopped, so that whatever is at the head, what is behind it has its
/// turn.
pub(super) struct Walk {
    pub(super) report: Report,
    scan: Scan,
    pages: usize,
    /// Scanned and not yet settled.
    pub(super) outstanding: usize,
    scanning: bool,
    over: bool,
    waiting: Vec<oneshot::Sender<Report>>,
}

impl Walk {
    /// From this place, through so many pages at most, of so many executions.
    pub(super) fn new(
        from: Option<Cursor>,
        stale: Duration,
        pages: usize,
        most: usize,
        waiting: Vec<oneshot::Sender<Report>>,
    ) -> Self {
        Self {
            report: Report::default(),
            scan: Scan::new(stale, most).after(from),
            pages: pages.max(1),
            outstanding: 0,
            scanning: false,
            over: false,
            waiting,
        }
    }

    /// The page to scan now, if it is time for one.
    pub(super) fn begin(&mut self) -> Option<Scan> {
        if self.scanning || self.over {
            return None;
        }
        self.scanning = true;
        Some(self.scan.clone())
    }

    /// A page came.
    pub(super) fn page(&mut self, page: &Scanned) {
        self.scanning = false;
        self.pages -= 1;
        self.report.scanned += page.completions.len() as u64;
        self.scan.after.clone_from(&page.next);
        self.over = self.pages == 0 || page.next.is_none();
    }

    /// The ledger did not answer: the next walk tries this page again.
    pub(super) fn failed(&mut self) {
        self.scanning = false;
        self.over = true;
        self.report.errors += 1;
    }

    /// Whether everything it found is settled.
    pub(super) fn finished(&self) -> bool {
        self.over && self.outstanding == 0
    }

    /// Tells whoever waits for it, and says where the next walk begins.
    pub(super) fn tell(self) -> Option<Cursor> {
        for waiting in self.waiting {
            // Who no longer waits need not know.
            let _ = waiting.send(self.report);
        }
        self.scan.after
    }
}
