//! What is known of one other node.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::config::{HISTORY, SLACK};
use super::offset::Offset;
use super::run::Run;
use super::sequence::{Arrival, Sequence};
use crate::bus::Lane;
use crate::envelope::{Heartbeat, LaneProgress};
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) version: String,
    /// When anything of it was heard last, on our clock.
    pub(super) heard: Instant,
    /// Whether heartbeats come. It begins with the first one: before, it is but a name someone put into a
    /// frame. It ends when nothing is heard for long.
    pub(super) member: bool,
    /// Until when its heartbeats reported, without a break, which lanes it sent on; on its clock.
    reported: Option<Duration>,
    offset: Offset,
    lanes: BTreeMap<Lane, Sequence>,
}

/// The losses that a heartbeat shows.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Numbers that should have come and did not.
    pub(super) missing: Vec<(Lane, Run)>,
    /// A time of our clock in which the origin may have sent what no number reports.
    pub(super) unreported: Option<(Instant, Instant)>,
}

/// Since when the numbers on a lane are ours to account for, lane by lane; empty before we were live.
pub(super) type Since = BTreeMap<Lane, Instant>;

impl Peer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            version: String::new(),
            heard: now,
            member: false,
            reported: None,
            offset: Offset::default(),
            lanes: BTreeMap::new(),
        }
    }

    /// How old a frame is that its origin made at `sent`, beside the fastest it sent lately, with moments so
    /// far `apart`.
    pub(super) fn age(&mut self, now: Instant, sent: Duration, apart: Duration) -> Duration {
        self.offset.age(now, sent, apart)
    }

    /// A number arrived on a lane. What it shows to be missing counts if the lane is `ours` to account for.
    pub(super) fn arrive(&mut self, lane: Lane, number: u64, ours: bool) -> Arrival {
        let sequence = self.lanes.entry(lane).or_insert_with(Sequence::new);
        match sequence.arrive(number) {
            Arrival::New(_) if !ours => Arrival::New(None),
            arrival => arrival,
        }
    }

    /// From now on what it sends is ours to account for.
    pub(super) fn join(&mut self) {
        self.lanes.values_mut().for_each(Sequence::join);
    }

    /// What the origin sends on this lane is ours to account for from now on.
    pub(super) fn join_lane(&mut self, lane: Lane) {
        if let Some(sequence) = self.lanes.get_mut(&lane) {
            sequence.join();
        }
    }

    /// Takes in a heartbeat, and returns what should have come on the lanes that are ours to account for. A `window` is how
    /// long what may have been forged counts at most.
    pub(super) fn beat(
        &mut self,
        now: Instant,
        window: Duration,
        beat: &Heartbeat,
        lanes: u32,
        since: &Since,
    ) -> Shown {
        self.version.clone_from(&beat.version);
        self.member = true;

        let newest = beat.earlier.last().copied();
        let come = |reported: &Duration| self.offset.ours(*reported) <= Some(now + SLACK);
        let reported = self.reported.filter(come);
        // Four heartbeats may be too few to reach back to the last one we heard. Fewer are all there were.
        let whole = beat.earlier.len() < HISTORY;
        let oldest = beat.earlier.first().copied().unwrap_or_default();
        let follows = reported.is_some_and(|reported| oldest <= reported);
        self.reported = reported.max(newest).or(Some(Duration::ZERO));

        let mut shown = Shown::default();
        let mut listed = 0;
        let mut blank = false;
        for progress in beat.lanes.iter().filter(|progress| progress.lane < lanes) {
            let lane = Lane(progress.lane);
            let (Some(first), Some(last)) = (progress.lasts.first(), progress.lasts.last()) else {
                continue;
            };
            let sequence = self.lanes.entry(lane).or_insert_with(Sequence::new);
            sequence.verify_mark(now, window, beat, *last);
            let Some(since) = since.get(&lane) else {
                sequence.rebase(*last);
                continue;
            };
            listed += 1;
            let before = match sent_by(*since, beat, progress, &self.offset) {
                _ if !sequence.is_joining() => 0,
                Some(last) => last,
                // No heartbeat until the oldest of these reported the lane, so nothing was sent on it.
                None if follows || whole => *first,
                None if self.offset.ours(Duration::ZERO) > Some(*since) => 0,
                None => {
                    blank = true;
                    *first
                }
            };
            let runs = sequence.progress(before, *last);
            shown
                .missing
                .extend(runs.into_iter().flatten().map(|run| (lane, run)));
        }
        // What is not listed was not used since the oldest; before, something may have got lost on it.
        blank |= listed < since.len();
        if blank && !follows && !whole {
            shown.unreported = self.unreported(reported, oldest, since);
        }
        shown
    }

    fn unreported(
        &self,
        reported: Option<Duration>,
        oldest: Duration,
        since: &Since,
    ) -> Option<(Instant, Instant)> {
        let live = *since.values().min()?;
        let reported = self.offset.ours(reported.unwrap_or_default())?;
        // The origin's time on our clock may be late by as much as its fastest frame was.
        let (from, until) = (live.max(reported - SLACK), self.offset.ours(oldest)?);
        (from < until).then_some((from, until))
    }
}

/// The last number that the origin had sent by a moment of our clock, if its heartbeats reach back to then.
fn sent_by(
    moment: Instant,
    beat: &Heartbeat,
    progress: &LaneProgress,
    offset: &Offset,
) -> Option<u64> {
    let snapshots = beat.earlier.iter().zip(&progress.lasts);
    let by_then = snapshots.filter(|(at, _)| offset.ours(**at).is_some_and(|at| at <= moment));
    by_then.map(|(_, last)| *last).next_back()
}
