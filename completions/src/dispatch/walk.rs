//! One walk through the executions that are finished and not handled.

use alloc::vec::Vec;
use core::time::Duration;

use crate::control::WalkReply;
use crate::cursor::Cursor;
use crate::ledger::{Scan, Scanned};
use crate::report::WalkReport;

/// A walk: pages, one after the other, until the last or as many as one walk may take.
///
/// The next walk continues where this one stopped, so that a head that always fails does not keep what is
/// behind it from its turn.
pub(super) struct Walk {
    pub(super) report: WalkReport,
    scan: Scan,
    pages: usize,
    /// Scanned and not yet settled.
    pub(super) outstanding: usize,
    scanning: bool,
    over: bool,
    waiting: Vec<WalkReply>,
}

impl Walk {
    /// A walk from a place on, of at most `pages` pages with at most `most` executions each.
    pub(super) fn new(
        from: Option<Cursor>,
        stale: Duration,
        pages: usize,
        most: usize,
        waiting: Vec<WalkReply>,
    ) -> Self {
        Self {
            report: WalkReport::default(),
            scan: Scan::new(stale, most).after(from),
            pages: pages.max(1),
            outstanding: 0,
            scanning: false,
            over: false,
            waiting,
        }
    }

    /// The page to scan now; `None` while one is being scanned, and behind the last.
    pub(super) fn begin(&mut self) -> Option<Scan> {
        if self.scanning || self.over {
            return None;
        }
        self.scanning = true;
        Some(self.scan.clone())
    }

    /// Takes a page that was scanned.
    pub(super) fn page(&mut self, page: &Scanned) {
        self.scanning = false;
        self.pages -= 1;
        self.report.scanned += page.completions.len() as u64;
        self.scan.after.clone_from(&page.next);
        self.over = self.pages == 0 || page.next.is_none();
    }

    /// Ends the walk for a ledger that did not answer: the next walk asks for this page again.
    pub(super) fn failed(&mut self) {
        self.scanning = false;
        self.over = true;
        self.report.errors += 1;
    }

    /// Whether everything the walk found is settled.
    pub(super) fn finished(&self) -> bool {
        self.over && self.outstanding == 0
    }

    /// Reports to the callers that wait, and gives the place where the next walk begins.
    pub(super) fn end(self) -> Option<Cursor> {
        for reply in self.waiting {
            // A caller that no longer waits needs no report.
            let _ = reply.send(self.report);
        }
        self.scan.after
    }
}
