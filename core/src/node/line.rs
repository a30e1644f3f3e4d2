//! What this node sends on one lane: the messages that wait, the numbers, and the frames that are kept.

use alloc::collections::{BTreeSet, VecDeque};
use core::time::Duration;

use bytes::Bytes;

use super::intake::OVERHEAD;
use super::refused::Part;
use crate::envelope::{AskedRun, Encoded, FrameWriter, HEADER, Header, LaneProgress, Signatures};
use crate::node_id::NodeId;
use crate::time::Instant;

/// What a kept frame counts beside its bytes: its places in two queues and its allocation take about as much.
const PLACE: usize = 192;

/// The sender's half of one lane.
///
/// The frames that are kept are one contiguous tail of the numbers that were used, from `floor` on: what is below the
/// floor will never come again.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The last number that was used, and when the last event with a number was published, or sent.
    last: u64,
    at: Duration,
    /// When a number was used last: one that expires before it is sent is used long after its event was published.
    used: Duration,
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
        self.used
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
            self.used = now.since_origin();
            self.waiting.pop_front();
        }
        let forgotten = match count {
            0 => 0,
            _ => self.forget_until(self.last),
        };
        (count, bytes, forgotten)
    }

    /// Makes a frame of at most `limit` bytes and `most` messages, signs it, and keeps it. Gives the frame, how many messages
    /// are in it, and the bytes they took of the queue.
    pub(super) fn frame(
        &mut self,
        now: Instant,
        (origin, lane): (NodeId, u32),
        stamp: Duration,
        (limit, most): (usize, usize),
        signatures: Option<&Signatures>,
    ) -> Option<(Bytes, usize, usize)> {
        let published = self.oldest()?;
        // What was let in before the bus took less goes out alone: what is behind would be refused with it.
        let (limit, most) = match self.waiting.front()?.message.size() + OVERHEAD {
            first if first > limit => (first, 1),
            _ => (limit, most),
        };
        let header = Header {
            origin,
            lane,
            first: self.last.checked_add(1)?,
            stamp,
            before: stamp.saturating_sub(self.at),
            waited: now - published,
        };
        let capacity = self.capacity(limit, most);
        let mut writer = FrameWriter::with_capacity(header, limit, capacity, signatures).ok()?;
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
        (self.at, self.used) = (stamp, stamp);
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

    /// The frame that is kept with this first number.
    pub(super) fn kept_at(&self, first: u64) -> Option<&Bytes> {
        let kept = self.kept.get(self.place_of(first))?;
        (kept.first == first).then_some(&kept.frame)
    }

    fn place_of(&self, first: u64) -> usize {
        self.kept.partition_point(|kept| kept.first < first)
    }

    /// Keeps these frames, which have the same numbers, in the place of the one with this first number. Gives the bytes of that
    /// and of these.
    pub(super) fn replace(&mut self, first: u64, parts: &[Part]) -> (usize, usize) {
        let place = self.place_of(first);
        let Some(replaced) = self.kept.remove(place) else {
            return (0, 0);
        };
        self.wanted.remove(&first);
        let mut bytes = 0;
        for part in parts.iter().rev() {
            let (first, last) = (part.first, part.last);
            let kept = Kept {
                frame: part.frame.clone(),
                first,
                last,
                ..replaced
            };
            bytes += kept.size();
            self.kept.insert(place, kept);
        }
        (replaced.size(), bytes)
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
        if self.is_wanted() {
            self.wanted = self.wanted.split_off(&self.floor);
        }
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
            let at = self.place_of(first);
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

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::audience::Audience;
    use crate::event::Event;
    use crate::target::{Scope, Target};

    const ORIGIN: (NodeId, u32) = (NodeId([7; 16]), 3);
    const TTL: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    /// A line on which this many events were published at each of these seconds and sent one second later, each second in
    /// a frame of its own.
    fn line(published: &[(u64, usize)]) -> Line {
        let mut line = Line::default();
        for (second, count) in published {
            publish(&mut line, *second, *count);
            send(&mut line, second + 1);
        }
        line
    }

    fn publish(line: &mut Line, second: u64, count: usize) {
        let audience: Audience = Target::topic("t").unwrap().into();
        for _ in 0..count {
            let event = Event::text("hello");
            let message = Encoded::publish(&Scope::default(), &audience, &event).unwrap();
            line.push(at(second), message);
        }
    }

    #[test]
    fn what_is_larger_than_the_bus_takes_goes_out_alone() {
        let mut line = Line::default();
        publish(&mut line, 1, 3);
        let event = Event::text("x".repeat(500));
        let audience: Audience = Target::topic("t").unwrap().into();
        let large = Encoded::publish(&Scope::default(), &audience, &event).unwrap();
        line.push(at(1), large);
        publish(&mut line, 1, 3);
        let mut sent = Vec::new();
        while line.waits() {
            let (frame, count, _) = line
                .frame(at(2), ORIGIN, Duration::ZERO, (200, 100), None)
                .unwrap();
            sent.push((frame.len() > 200, count));
        }
        assert_eq!(sent, [(false, 3), (true, 1), (false, 3)]);
    }

    fn send(line: &mut Line, second: u64) -> Header {
        let now = at(second);
        let stamp = now.since_origin();
        let (frame, ..) = line
            .frame(now, ORIGIN, stamp, (1_024, usize::MAX), None)
            .unwrap();
        header(&frame)
    }

    fn header(frame: &Bytes) -> Header {
        use crate::envelope::{Decoded, Frame};
        match Frame::decode(frame, 1_024) {
            Ok(Decoded::Frame(frame)) => *frame.header(),
            other => panic!("{other:?}"),
        }
    }

    fn run(first: u64, last: u64) -> AskedRun {
        let (lane, after) = (3, Duration::ZERO);
        AskedRun {
            lane,
            first,
            last,
            after,
        }
    }

    /// The first numbers of the frames that are sent again.
    fn repaired(line: &mut Line, now: Instant) -> Vec<u64> {
        let frames = core::iter::from_fn(|| line.repair(now));
        frames.map(|(frame, _)| header(&frame).first).collect()
    }

    /// The last number, how many are kept, and when the newest that is not was used.
    fn progress(line: &Line) -> (u64, u64, u64) {
        let progress = line.progress(3);
        (progress.last, progress.keeps, progress.gone.as_secs())
    }

    #[test]
    fn a_frame_says_when_it_was_made_and_what_came_before() {
        let mut line = line(&[(1, 2)]);
        publish(&mut line, 3, 1);
        let header = send(&mut line, 7);
        assert_eq!((header.first, header.lane), (3, 3));
        assert_eq!(header.stamp.as_secs(), 7);
        // The frame before was made at 2.
        assert_eq!(header.before.as_secs(), 5);
        assert_eq!(header.waited.as_secs(), 4);
    }

    #[test]
    fn what_is_asked_for_is_sent_again_in_order_and_not_twice_within_the_linger() {
        let linger = Duration::from_secs(1);
        let mut line = line(&[(1, 2), (2, 2), (3, 2)]);
        line.want(at(9), &run(5, 6), linger);
        line.want(at(9), &run(2, 3), linger);
        assert_eq!(repaired(&mut line, at(9)), [1, 3, 5]);
        line.want(at(9), &run(1, 99), linger);
        assert_eq!(repaired(&mut line, at(9)), vec![0; 0]);
        line.want(at(10), &run(4, 4), linger);
        assert_eq!(repaired(&mut line, at(10)), [3]);
    }

    #[test]
    fn a_newcomer_is_sent_nothing_that_was_made_before_it_came() {
        let mut line = line(&[(1, 2), (2, 2), (3, 2)]);
        let after = Duration::from_secs(3);
        let run = AskedRun { after, ..run(1, 6) };
        line.want(at(9), &run, Duration::ZERO);
        assert_eq!(repaired(&mut line, at(9)), [3, 5]);
    }

    #[test]
    fn what_is_kept_is_the_tail_of_what_was_sent() {
        let mut line = line(&[(1, 2), (2, 3)]);
        assert_eq!(progress(&line), (5, 5, 0));
        // Only the oldest is given up.
        assert_eq!(line.give_up(3), 0);
        assert!(line.give_up(1) > PLACE);
        assert_eq!(progress(&line), (5, 3, 2));
        line.give_up(3);
        assert_eq!(progress(&line), (5, 0, 3));
        line.want(at(9), &run(1, 5), Duration::ZERO);
        assert!(!line.is_wanted());
    }

    #[test]
    fn what_expires_before_it_is_sent_uses_its_numbers_and_takes_with_it_what_is_older() {
        let mut line = line(&[(1, 2), (2, 2)]);
        publish(&mut line, 9, 3);
        publish(&mut line, 20, 1);
        assert_eq!(line.expire(at(39), TTL).0, 0);
        let (count, _, forgotten) = line.expire(at(40), TTL);
        assert_eq!((count, forgotten > 0), (3, true));
        // The newest that will not come was published at 9.
        assert_eq!(progress(&line), (7, 0, 9));
        assert_eq!(send(&mut line, 41).first, 8);
        assert_eq!(progress(&line), (8, 1, 9));
    }

    #[test]
    fn what_is_given_up_takes_with_it_what_is_older() {
        let mut line = line(&[(1, 2), (2, 2), (3, 2)]);
        line.forget_until(3);
        assert_eq!(progress(&line), (6, 2, 3));
    }
}
