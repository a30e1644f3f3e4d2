//! The broker: what it does with each frame, pipe by pipe.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use midplane_testkit::random::Random;

use super::slowness::Slowness;

/// A frame in a pipe.
#[derive(Debug, Clone)]
pub(super) struct Piped {
    pub(super) due: Duration,
    /// The receiver's link that the frame was sent to; a frame does not survive its link.
    pub(super) link: u64,
    pub(super) bytes: Bytes,
}

/// What the broker sends to one member on one lane, in order.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub(super) slowness: Slowness,
    pub(super) frames: VecDeque<Piped>,
    /// When the last frame is due that was not repeated: no other overtakes it.
    pub(super) last: Duration,
    /// Until when nothing leaves the pipe.
    pub(super) still_until: Duration,
    /// Until when everything that leaves the pipe is lost.
    pub(super) deaf_until: Duration,
    /// Until when what is sent to the pipe is lost, in how many of 1,000.
    pub(super) lossy: (Duration, u64),
    /// When the pipe is looked at next.
    pub(super) wake: Option<Duration>,
}

impl Pipe {
    /// Takes a frame. Returns false if the frame is lost.
    pub(super) fn take(
        &mut self,
        now: Duration,
        link: u64,
        bytes: &Bytes,
        random: &mut Random,
        (repeats, overtakes): (u64, u64),
    ) -> bool {
        let (until, loss) = self.lossy;
        if now < until && random.below(1_000) < loss {
            return false;
        }
        let jitter = self.slowness.jitter.as_micros() as u64;
        let jitter = Duration::from_micros(random.below(jitter.max(1)));
        let due = now + self.slowness.delay + jitter;
        let piped = |due| Piped {
            due,
            link,
            bytes: bytes.clone(),
        };
        self.last = self.last.max(due);
        let last = self.last;
        self.insert(piped(last));
        if repeats > 0 && random.below(1_000) < repeats {
            let again = last + Duration::from_millis(random.below(500));
            self.insert(piped(again));
        }
        if overtakes > 0 && random.below(1_000) < overtakes {
            let behind = random.below(self.frames.len().min(4) as u64) as usize;
            let late = self.frames.remove(self.frames.len() - 1 - behind);
            let late = late.expect("it is in the pipe");
            let due = last.max(late.due);
            self.insert(Piped { due, ..late });
        }
        true
    }

    /// Puts a frame behind those that are due by then.
    fn insert(&mut self, piped: Piped) {
        let at = self.frames.partition_point(|other| other.due <= piped.due);
        self.frames.insert(at, piped);
    }

    /// When something leaves the pipe next.
    pub(super) fn next(&self) -> Option<Duration> {
        let first = self.frames.front()?;
        Some(first.due.max(self.still_until))
    }
}

/// The broker between the members.
#[derive(Debug)]
pub(super) struct Broker {
    /// By member and lane.
    pub(super) pipes: BTreeMap<(usize, u32), Pipe>,
    pub(super) down_until: Duration,
    /// How many of 1,000 frames come twice, and how many are overtaken.
    pub(super) disorder: (u64, u64),
    pub(super) random: Random,
}

impl Broker {
    pub(super) fn new(random: Random, disorder: (u64, u64)) -> Self {
        Self {
            pipes: BTreeMap::new(),
            down_until: Duration::ZERO,
            disorder,
            random,
        }
    }

    /// The pipes of a member, or of all, on a lane, or on all.
    pub(super) fn pipes_of(
        &mut self,
        member: Option<usize>,
        lane: Option<u32>,
    ) -> impl Iterator<Item = (&(usize, u32), &mut Pipe)> {
        self.pipes.iter_mut().filter(move |((to, on), _)| {
            member.is_none_or(|member| member == *to) && lane.is_none_or(|lane| lane == *on)
        })
    }
}
