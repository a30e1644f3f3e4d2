//! How long a client may take nothing of what is written to it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use midplane::{Plane, Timer};

use crate::alive::Alive;

/// How long a client may take nothing once the plane drains.
const HURRY: Duration = Duration::from_secs(2);

/// Bounds how long each write to a client may wait. The time runs only while one waits: a client that keeps up sets no timer.
pub struct Patience {
    timer: Arc<dyn Timer>,
    limit: Duration,
    alarm: Option<BoxFuture<'static, ()>>,
    /// Until the plane drains; `None` from then on, and without a plane.
    draining: Option<BoxFuture<'static, ()>>,
    /// Who is told that a write that waited was taken.
    alive: Option<Alive>,
    /// The bytes of what is under way, which have the time to be read beside the limit.
    allowance: u64,
}

/// The slowest client that is kept, in bytes a second: what it has not read yet has that much more time.
const SLOWEST: u64 = 4 << 10;

/// The time that the slowest client that is kept needs to read this much.
pub(crate) fn time_to_read(bytes: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1_000) / SLOWEST)
}

/// The client took nothing for longer than the [`Patience`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TookNothing;

impl Patience {
    /// A patience of this long for each write.
    #[must_use]
    pub fn new(timer: Arc<dyn Timer>, limit: Duration) -> Self {
        Self {
            timer,
            limit,
            alarm: None,
            draining: None,
            alive: None,
            allowance: 0,
        }
    }

    /// Says that the client lives each time that it takes something of a write that waited: it reads then, however far behind
    /// it is with the pings.
    pub fn tell(&mut self, alive: Alive) {
        self.alive = Some(alive);
    }

    /// Gives the writes from now on, which are of this many bytes together, the time that a client needs for these at 4
    /// KiB/s, beside the limit: for who learns of the end of a write alone.
    pub fn allow(&mut self, bytes: u64) {
        self.allowance = bytes;
    }

    /// Shortens the patience to 2 s once the plane drains, for the wait that is under way too: one client that does not read
    /// must not make the end of a process last.
    #[must_use]
    pub fn until_drain(mut self, plane: &Plane) -> Self {
        self.draining = Some(plane.draining().boxed());
        self
    }

    /// Passes on what came of an attempt to write. One that waits is to be polled again by the same task.
    ///
    /// # Errors
    /// [`TookNothing`] once the attempts have waited for the whole patience.
    pub fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        attempt: Poll<T>,
    ) -> Poll<Result<T, TookNothing>> {
        if let Poll::Ready(outcome) = attempt {
            if self.alarm.take().is_some()
                && let Some(alive) = &self.alive
            {
                alive.took();
            }
            return Poll::Ready(Ok(outcome));
        }
        if let Some(draining) = &mut self.draining
            && draining.poll_unpin(context).is_ready()
        {
            self.draining = None;
            self.limit = self.limit.min(HURRY);
            self.allowance = 0;
            self.alarm = None;
        }
        let patience = || self.limit + time_to_read(self.allowance);
        let alarm = self
            .alarm
            .get_or_insert_with(|| self.timer.sleep(patience()));
        if alarm.poll_unpin(context).is_pending() {
            return Poll::Pending;
        }
        self.alarm = None;
        Poll::Ready(Err(TookNothing))
    }
}

impl fmt::Display for TookNothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client takes nothing of what is written")
    }
}

impl std::error::Error for TookNothing {}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
