//! The reconciler: when to walk through the ledger, and the walk that is under way.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::{Context, Poll};
use core::time::Duration;

use futures::future::BoxFuture;

use super::seams::Seams;
use super::walk::Walk;
use crate::control::WalkReply;
use crate::cursor::Cursor;
use crate::deadline::in_time;
use crate::error::BackendError;
use crate::ledger::Scanned;
use crate::payload::Completion;
use crate::report::WalkReport;

/// At most one walk at a time: on request, after each subscription, and on the interval.
pub(super) struct Reconciler {
    walk: Option<Walk>,
    scanning: Option<BoxFuture<'static, Result<Scanned, BackendError>>>,
    /// A subscription was made since the last walk began.
    walk_soon: bool,
    /// Where the next walk on the interval begins.
    place: Option<Cursor>,
    interval: BoxFuture<'static, ()>,
}

impl Reconciler {
    pub(super) fn new(seams: &Seams) -> Self {
        Self {
            walk: None,
            scanning: None,
            walk_soon: false,
            place: None,
            interval: seams.timer.sleep(seams.settings.interval),
        }
    }

    /// Whether no walk is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.walk.is_none()
    }

    /// Has a walk begin as soon as none is under way.
    pub(super) fn walk_soon(&mut self) {
        self.walk_soon = true;
    }

    /// Drops the walk; callers that wait for it learn so by the end of their channels.
    pub(super) fn stop(&mut self) {
        self.scanning = None;
        self.walk = None;
    }

    /// Begins a walk, if there is a reason for one.
    pub(super) fn begin(
        &mut self,
        seams: &Seams,
        waiting: Vec<WalkReply>,
        context: &mut Context<'_>,
    ) {
        self.walk = self.next_walk(seams, waiting, context);
    }

    fn next_walk(
        &mut self,
        seams: &Seams,
        waiting: Vec<WalkReply>,
        context: &mut Context<'_>,
    ) -> Option<Walk> {
        let settings = seams.settings;
        let now = Duration::ZERO;
        if !waiting.is_empty() {
            return Some(Walk::new(None, now, usize::MAX, settings.page, waiting));
        }
        // The first walk comes once the stream is live, or known not to be: an execution that finishes
        // between a scan and a subscription behind it would be seen by neither.
        if mem::take(&mut self.walk_soon) {
            return Some(Walk::new(None, now, settings.pages, settings.page, waiting));
        }
        self.interval.as_mut().poll(context).is_ready().then(|| {
            let place = self.place.take();
            Walk::new(
                place,
                settings.stale,
                settings.pages,
                settings.page,
                waiting,
            )
        })
    }

    /// Asks for the next page where `room` says so, and gives the completions of one that came. `None`
    /// while no page is answered.
    pub(super) fn poll_page(
        &mut self,
        seams: &Seams,
        room: bool,
        context: &mut Context<'_>,
    ) -> Option<Vec<Completion>> {
        let walk = self.walk.as_mut()?;
        if room && let Some(scan) = walk.begin() {
            let ledger = Arc::clone(&seams.ledger);
            let timer = Arc::clone(&seams.timer);
            let deadline = seams.settings.deadline;
            self.scanning = Some(Box::pin(async move {
                in_time(&*timer, deadline, ledger.scan(&scan)).await
            }));
        }
        let Poll::Ready(answer) = self.scanning.as_mut()?.as_mut().poll(context) else {
            return None;
        };
        self.scanning = None;
        Some(match answer {
            Ok(page) => {
                walk.page(&page);
                page.completions
            }
            Err(_) => {
                walk.failed();
                Vec::new()
            }
        })
    }

    /// The report of a walk that ended, which its callers get too.
    pub(super) fn poll_end(&mut self, seams: &Seams) -> Option<WalkReport> {
        let walk = self.walk.take_if(|walk| walk.finished())?;
        let report = walk.report;
        self.place = walk.end();
        self.interval = seams.timer.sleep(seams.settings.interval);
        Some(report)
    }

    /// Counts an execution that the walk found and that is on its way.
    pub(super) fn found(&mut self) {
        if let Some(walk) = &mut self.walk {
            walk.outstanding += 1;
        }
    }

    /// Counts executions of the walk that are settled.
    pub(super) fn settled(&mut self, count: usize) {
        if let Some(walk) = &mut self.walk {
            walk.outstanding = walk.outstanding.saturating_sub(count);
        }
    }

    /// Counts in the report of the walk, where the walk is concerned.
    pub(super) fn report(&mut self, walked: bool, count: impl FnOnce(&mut WalkReport)) {
        if let Some(walk) = self.walk.as_mut().filter(|_| walked) {
            count(&mut walk.report);
        }
    }
}
