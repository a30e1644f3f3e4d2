//! What this node sends on one lane: the messages that wait, the numbers, and the frames that are kept.

use alloc::collections::{BTreeSet, VecDeque};
use core::time::Duration;

use bytes::Bytes;

use crate::envelope::{AskedRun, Encoded, FrameWriter, HEADER, Header, LaneProgress};
use crate::node_id::NodeId;
use crate::time::Instant;

/// What a kept frame counts beside its bytes.
const PLACE: usize = 64;

/// The sender's half of one lane.
///
/// The frames that are kept are one contiguous tail of the numbers that were used, from `floor` on: what is below the
/// floor will never come again.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The last number that was used, and when.
    last: u64,
    at: Duration,
    /// The first number that is kept.
    floor: u64,
    /// When the newest number below the floor was used.
    gone: Duration,
    waiting: VecDeque<Waiting>,
    kept: VecDeque<Kept>,
    /// The first numbers of kept frames that are to be sent again.
    wanted: BTreeSet<u64>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    message: Encoded,
}

/// A frame that was sent.
#[derive(Debug)]
struct Kept {
    frame: Bytes,
    first: u64,
    last: u64,
    stamp: Duration,
    repaired: Option<Instant>,
}

impl Kept {
    fn size(&self) -> usize {
        self.frame.len() + PLACE
    }
}

impl Line {
    pub(super) fn push(&mut self, since: Instant, message: Encoded) {
        self.waiting.push_back(Waiting { since, message });
    }

    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Since when the oldest message waits.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting.front().map(|waiting| waiting.since)
    }

    /// When the last number was used, on our clock.
    pub(super) fn used(&self) -> Duration {
        self.at
    }

    /// Drops what waits for longer than `ttl` and uses up its numbers. What was sent before is older still, so nothing of
    /// the lane can be sent again. Gives how many messages were dropped, their bytes, and the bytes of the frames
    /// that were forgotten.
    pub(super) fn expire(&mut self, now: Instant, ttl: Duration) -> (usize, usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        while let Some(waiting) = self.waiting.front()
            && now - waiting.since > ttl
        {
            count += 1;
            bytes += waiting.message.size();
            self.last += 1;
            self.at = self.at.max(waiting.since.since_origin());
            self.waiting.pop_front();
        }
        let forgotten = match count {
            0 => 0,
            _ => self.forget_until(self.last),
        };
        (count, bytes, forgotten)
    }

    /// Makes a frame of as many messages as fit, at most `most`, and keeps it. Gives the frame, how many messages are in
    /// it, and the bytes they took of the queue.
    pub(super) fn frame(
        &mut self,
        now: Instant,
        (origin, lane): (NodeId, u32),
        stamp: Duration,
        limit: usize,
        most: usize,
    ) -> Option<(Bytes, usize, usize)> {
        let published = self.oldest()?;
        let header = Header {
            origin,
            lane,
            first: self.last.checked_add(1)?,
            stamp,
            before: stamp.saturating_sub(self.at),
            waited: now - published,
        };
        let mut writer =
            FrameWriter::with_capacity(header, limit, self.capacity(limit, most)).ok()?;
        let mut taken = 0;
        while writer.messages() < most
            && let Some(waiting) = self.waiting.front()
            && writer.push_encoded(&waiting.message).is_ok()
        {
            taken += waiting.message.size();
            self.waiting.pop_front();
        }
        let count = writer.messages();
        let frame = writer.finish();
        self.last += count as u64;
        self.at = stamp;
        self.kept.push_back(Kept {
            frame: frame.clone(),
            first: header.first,
            last: self.last,
            stamp,
            repaired: None,
        });
        Some((frame, count, taken))
    }

    /// How many bytes the next frame needs.
    fn capacity(&self, limit: usize, most: usize) -> usize {
        let mut bytes = HEADER;
        for waiting in self.waiting.iter().take(most) {
            if bytes >= limit {
                break;
            }
            bytes += waiting.message.size();
        }
        bytes
    }

    /// The first number and the bytes of the newest frame that is kept.
    pub(super) fn newest(&self) -> Option<(u64, usize)> {
        self.kept.back().map(|kept| (kept.first, kept.size()))
    }

    /// Gives up the frame of this first number, if it is the oldest that is kept, and gives its bytes.
    pub(super) fn give_up(&mut self, first: u64) -> usize {
        let oldest = self.kept.front().filter(|kept| kept.first == first);
        oldest
            .map(|kept| kept.last)
            .map_or(0, |last| self.forget_until(last))
    }

    /// What is up to this number is not kept any more. Gives the bytes of the frames.
    pub(super) fn forget_until(&mut self, last: u64) -> usize {
        let mut bytes = 0;
        while let Some(kept) = self.kept.front()
            && kept.first <= last
        {
            bytes += kept.size();
            self.gone = kept.stamp;
            self.kept.pop_front();
        }
        self.floor = self.kept.front().map_or(self.last + 1, |kept| kept.first);
        if self.kept.is_empty() {
            self.gone = self.at;
        }
        self.wanted = self.wanted.split_off(&self.floor);
        bytes
    }

    /// Marks what of the run is kept to be sent again, but what was sent again within `linger`.
    pub(super) fn want(&mut self, now: Instant, run: &AskedRun, linger: Duration) {
        let begin = self.kept.partition_point(|kept| kept.last < run.first);
        for kept in self.kept.range(begin..) {
            if kept.first > run.last {
                break;
            }
            let fresh = kept.repaired.is_some_and(|at| now - at < linger);
            if kept.stamp >= run.after && !fresh {
                self.wanted.insert(kept.first);
            }
        }
    }

    /// The next frame to send again, in rising order, and how many events it has.
    pub(super) fn repair(&mut self, now: Instant) -> Option<(Bytes, u64)> {
        loop {
            let first = self.wanted.pop_first()?;
            let at = self.kept.partition_point(|kept| kept.first < first);
            if let Some(kept) = self.kept.get_mut(at)
                && kept.first == first
            {
                kept.repaired = Some(now);
                return Some((kept.frame.clone(), kept.last - kept.first + 1));
            }
        }
    }

    /// How far the lane has come, for a heartbeat.
    pub(super) fn progress(&self, lane: u32) -> LaneProgress {
        let keeps = self
            .last
            .saturating_add(1)
            .saturating_sub(self.floor.max(1));
        LaneProgress {
            lane,
            last: self.last,
            at: self.at,
            keeps,
            gone: self.gone,
        }
    }
}
