//! What waits to be sent, lane by lane, and the numbers it is sent under.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::iter;
use core::time::Duration;

use super::config::HISTORY;
use super::intake::{OVERHEAD, Queued};
use crate::bus::{Lane, Outbound};
use crate::envelope::{Encoded, FrameWriter, Header, Heartbeat, LaneProgress, Message};
use crate::node_id::NodeId;
use crate::time::Instant;

/// The most that a heartbeat takes beside the progress of lanes, and with each lane's, in bytes.
const HEARTBEAT: usize = 64 + HISTORY * 10;
const PROGRESS: usize = 5 + 1 + HISTORY * 10;

/// The software's version, as heartbeats report it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug)]
pub(super) struct Outbox {
    origin: NodeId,
    /// The largest frame, in bytes.
    frame: usize,
    /// How many messages wait, and their bytes.
    waiting: usize,
    bytes: usize,
    lanes: BTreeMap<Lane, LaneBacklog>,
    /// The lanes on which something waits: of many that were ever used, few are busy at once.
    busy: BTreeSet<Lane>,
    /// The parts of the heartbeat that is to be sent before everything else, and whether it greets.
    beat: VecDeque<Encoded>,
    hello: bool,
    /// When the last heartbeats were sent, the newest at the back.
    beats: VecDeque<Instant>,
    /// When numbers were used last.
    used: Instant,
    /// The lane that was served last; the next one is served next.
    served: Option<Lane>,
}

#[derive(Debug, Default)]
struct LaneBacklog {
    /// The last number that was used.
    last: u64,
    /// The last numbers at the heartbeats before, the newest at the back.
    history: VecDeque<u64>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    message: Encoded,
}

impl Outbox {
    pub(super) fn new(origin: NodeId, frame: usize) -> Self {
        Self {
            origin,
            frame,
            bytes: 0,
            waiting: 0,
            lanes: BTreeMap::new(),
            busy: BTreeSet::new(),
            beat: VecDeque::new(),
            hello: false,
            beats: VecDeque::new(),
            used: Instant::ZERO,
            served: None,
        }
    }

    pub(super) fn push(&mut self, queued: Queued) {
        let Queued {
            since,
            lane,
            message,
        } = queued;
        self.bytes += message.size();
        let backlog = self.lanes.entry(lane).or_default();
        backlog.waiting.push_back(Waiting { since, message });
        self.waiting += 1;
        self.busy.insert(lane);
    }

    /// Makes a heartbeat, to be sent before everything that waits; one that still waits gives way. If there
    /// are more lanes to report than fit a frame, it has several parts. The numbers are remembered for the
    /// heartbeats to come, but not twice within half an `interval`: such would reach back no further.
    pub(super) fn beat(&mut self, now: Instant, hello: bool, interval: Duration) {
        self.hello = hello || (self.hello && !self.beat.is_empty());
        // After an outage the numbers are still those of its beginning: a node that came during it owes
        // nothing for what was sent before.
        let outage = now - self.used > interval + interval / 2;
        if outage && self.beats.back().is_some_and(|last| self.used >= *last) {
            self.remember(self.used);
        }
        let earlier: Vec<Duration> = self.beats.iter().map(|beat| beat.since_origin()).collect();
        let lanes = self.progress(self.hello);
        let fit = self.frame.saturating_sub(OVERHEAD + HEARTBEAT) / PROGRESS;
        let mut parts: Vec<&[LaneProgress]> = lanes.chunks(fit.max(1)).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let parts = parts.into_iter().enumerate().filter_map(|(part, lanes)| {
            let heartbeat = Heartbeat {
                version: String::from(VERSION),
                hello: self.hello && part == 0,
                sent: now.since_origin(),
                earlier: earlier.clone(),
                lanes: lanes.to_vec(),
            };
            // A heartbeat can always be written.
            Message::Heartbeat(heartbeat).encode().ok()
        });
        self.beat = parts.collect();
        let due = |last: &Instant| now - *last >= interval / 2;
        if self.beats.back().is_none_or(due) {
            self.remember(now);
        }
    }

    /// Records how far the numbers are, for the heartbeats to come.
    pub(super) fn remember(&mut self, moment: Instant) {
        remember(&mut self.beats, moment);
        for backlog in self.lanes.values_mut() {
            remember(&mut backlog.history, backlog.last);
        }
    }

    /// The next frame: as much of one lane as fits.
    pub(super) fn frame(&mut self, now: Instant) -> Option<Outbound> {
        let lane = match self.beat.is_empty() {
            true => self.next_lane()?,
            false => Lane(0),
        };
        self.served = Some(lane);
        let backlog = self.lanes.entry(lane).or_default();
        let header = Header {
            origin: self.origin,
            lane: lane.0,
            first: backlog.last.checked_add(1)?,
        };
        let mut writer = FrameWriter::new(header, self.frame).ok()?;
        // A stamp and any message that was let in fit an empty frame.
        writer.push(&Message::Stamp(now.since_origin())).ok()?;
        if let Some(part) = self.beat.pop_front() {
            writer.push_encoded(&part).ok()?;
        }
        while let Some(waiting) = backlog.waiting.front() {
            if writer.push_encoded(&waiting.message).is_err() {
                break;
            }
            self.bytes -= waiting.message.size();
            self.waiting -= 1;
            backlog.waiting.pop_front();
        }
        if backlog.waiting.is_empty() {
            self.busy.remove(&lane);
        }
        backlog.last += writer.messages() as u64;
        self.used = now;
        let frame = writer.finish();
        Some(Outbound { lane, frame })
    }

    fn next_lane(&self) -> Option<Lane> {
        let after = self.served.map_or(0, |lane| lane.0.saturating_add(1));
        let mut later = self.busy.range(Lane(after)..);
        later.next().or_else(|| self.busy.first()).copied()
    }

    /// Drops what waits for longer than `ttl` and uses up its numbers, so that everyone sees that
    /// something is missing. Gives how many were dropped.
    pub(super) fn expire(&mut self, now: Instant, ttl: Duration) -> u64 {
        let before = self.waiting;
        let lanes = &mut self.lanes;
        self.busy.retain(|lane| {
            let Some(backlog) = lanes.get_mut(lane) else {
                return false;
            };
            while let Some(waiting) = backlog.waiting.front()
                && now - waiting.since > ttl
            {
                self.bytes -= waiting.message.size();
                self.waiting -= 1;
                backlog.waiting.pop_front();
                backlog.last += 1;
                self.used = now;
            }
            !backlog.waiting.is_empty()
        });
        (before - self.waiting) as u64
    }

    /// The progress until each of the heartbeats before, of the lanes that were used since the oldest of
    /// them, or of all.
    fn progress(&self, all: bool) -> Vec<LaneProgress> {
        let mut lanes = Vec::new();
        for (lane, backlog) in &self.lanes {
            // A lane that came later had sent nothing by the first of these.
            let unused = self.beats.len().saturating_sub(backlog.history.len());
            let lasts: Vec<u64> = iter::repeat_n(0, unused)
                .chain(backlog.history.iter().copied())
                .collect();
            if lasts.first() != lasts.last() || (all && lasts.last() > Some(&0)) {
                lanes.push(LaneProgress {
                    lane: lane.0,
                    lasts,
                });
            }
        }
        lanes
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when the oldest message waits.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let lanes = self.busy.iter().filter_map(|lane| self.lanes.get(lane));
        let fronts = lanes.filter_map(|backlog| backlog.waiting.front());
        fronts.map(|waiting| waiting.since).min()
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }
}

fn remember<T>(history: &mut VecDeque<T>, newest: T) {
    if history.len() == HISTORY {
        history.pop_front();
    }
    history.push_back(newest);
}
