//! Our own heartbeats: when the next is due, which of them came back, and what that says of the link.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::mutual::slack;
use crate::time::Instant;

/// How many stamps of ours are remembered, to know an echo of them.
const STAMPS: usize = 64;

/// What is known of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Down,
    /// A link is up; our own heartbeat has not come back, or the others have not had the time to answer it.
    Joining,
    Live,
}

/// Whether the node leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// Until then the node answers those that miss something.
    At(Instant),
    Done,
}

#[derive(Debug)]
pub(super) struct Pulse {
    heartbeat: Duration,
    pub(super) link: Link,
    /// When the link began.
    pub(super) connected: Instant,
    /// Whether nobody else was linked with the bus then.
    pub(super) alone: bool,
    /// When the last heartbeat was due, and the next one is.
    last: Instant,
    next: Instant,
    /// Whether a heartbeat waits to be made, and whether it greets.
    pub(super) due: bool,
    pub(super) hello: bool,
    /// When the latest frame of ours that came back was made.
    proven: Option<Instant>,
    /// Since when what we send comes back without a pause.
    well: Instant,
    /// How long the latest frame of ours that came back took.
    echo: Duration,
    /// When our frames without events were made, by their stamps, the newest at the back.
    stamps: VecDeque<(Duration, Instant)>,
}

impl Pulse {
    pub(super) fn new(heartbeat: Duration) -> Self {
        Self {
            heartbeat,
            link: Link::Down,
            connected: Instant::ZERO,
            alone: false,
            last: Instant::ZERO,
            next: Instant::ZERO,
            due: false,
            hello: false,
            proven: None,
            well: Instant::ZERO,
            echo: Duration::ZERO,
            stamps: VecDeque::new(),
        }
    }

    pub(super) fn connected(&mut self, now: Instant) {
        self.link = Link::Joining;
        self.connected = now;
        self.alone = false;
        self.proven = None;
        self.hello = true;
        self.beat(now);
    }

    /// A heartbeat is to be made.
    pub(super) fn beat(&mut self, now: Instant) {
        self.due = true;
        self.last = now;
        self.next = now + self.heartbeat;
    }

    /// Makes a heartbeat when its time has come.
    pub(super) fn tick(&mut self, now: Instant) {
        if now >= self.next {
            self.beat(now);
        }
    }

    /// A heartbeat is wanted before its time; two are this far apart at least.
    pub(super) fn hasten(&mut self, now: Instant, apart: Duration) {
        self.next = self.next.min(now.max(self.last + apart));
    }

    /// A frame without events was made.
    pub(super) fn made(&mut self, now: Instant, stamp: Duration) {
        if self.stamps.len() == STAMPS {
            self.stamps.pop_front();
        }
        self.stamps.push_back((stamp, now));
    }

    /// A frame of ours with this stamp came back.
    pub(super) fn came_back(&mut self, now: Instant, stamp: Duration) {
        if let Some(made) = self.made_at(stamp)
            && made >= self.connected
            && self.proven.is_none_or(|proven| proven < made)
        {
            if self.well_since(now).is_none() {
                self.well = now;
            }
            self.proven = self.proven.max(Some(made));
            self.echo = now - made;
        }
    }

    /// When the frame of ours with this stamp was made, if it was not long ago.
    pub(super) fn made_at(&self, stamp: Duration) -> Option<Instant> {
        let at = self.stamps.partition_point(|(made, _)| *made < stamp);
        let (made, at) = self.stamps.get(at)?;
        (*made == stamp).then_some(*at)
    }

    /// When the latest frame was made that came back on this link, or the link began.
    pub(super) fn proven(&self) -> Instant {
        self.proven.unwrap_or(self.connected)
    }

    /// Since when what we send comes back without a pause; `None` while the next of it is late.
    pub(super) fn well_since(&self, now: Instant) -> Option<Instant> {
        let late = self.heartbeat + slack(self.heartbeat);
        let proven = self.proven.filter(|proven| now - *proven <= late);
        proven.map(|_| self.well)
    }

    /// Whether something of ours came back on this link.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.is_some()
    }

    /// How long the latest frame of ours that came back took.
    pub(super) fn echo(&self) -> Duration {
        self.echo
    }

    /// Whether what we send takes long to come back: the bus has enough to do.
    pub(super) fn is_slow(&self) -> bool {
        self.echo > self.heartbeat / 8
    }

    /// How long we may be without a heartbeat of our own that came back: two are missed by then.
    pub(super) fn patience(&self) -> Duration {
        self.heartbeat * 2 + self.heartbeat / 8
    }

    /// Until when the next heartbeat of our own has to come back.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let since = self.proven();
        (self.link != Link::Down).then(|| since + self.patience())
    }

    /// Whether the node was not run for over two heartbeats: frames that wait in its link may then be of any age.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        self.link != Link::Down && now - self.next > self.patience()
    }

    /// When the next heartbeat is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }
}
