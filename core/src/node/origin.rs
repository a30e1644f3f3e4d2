//! What this node sends: the events that wait, lane by lane, and the frames that are kept to be sent again.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::bucket::Bucket;
use super::config::Config;
use super::intake::Queued;
use super::line::Line;
use super::refused::{Part, Refused, parts};
use crate::bus::{Lane, Outbound};
use crate::envelope::{AskedRun, Frame, LaneProgress, Signatures};
use crate::node_id::NodeId;
use crate::time::Instant;

/// The most lanes that were asked for and are therefore listed in the next heartbeat, whenever they were used.
const ASKED_LANES: usize = 1_024;

/// A backlog is sent within this part of the time that it waited.
const BACKLOG: u32 = 8;

/// How many times as long as a frame is under way a backlog of which something was given up counts as one.
const BEHIND: u32 = 8;

/// In how many parts what is let through of a backlog in a second is sent.
const BURSTS: u64 = 100;

/// How many events a second are sent again at least, and how many times as fast as they were published at first.
const REPAIRS: u64 = 2_000;
const FASTER: u64 = 8;

/// The sender's half of all lanes.
#[derive(Debug)]
pub(super) struct Origin {
    id: NodeId,
    /// The largest frame, in bytes.
    frame: usize,
    /// What signs the frames.
    signatures: Option<Arc<Signatures>>,
    lanes: BTreeMap<Lane, Line>,
    /// How many messages wait, and their bytes.
    waiting: usize,
    bytes: usize,
    /// No message that waits is older than this.
    waits_since: Instant,
    /// Whether some of the backlog that waits was given up.
    expires: bool,
    /// The lanes on which something waits, or is to be sent again: of many that were ever used, few are busy at once.
    busy: BTreeSet<Lane>,
    wanted: BTreeSet<Lane>,
    /// The lanes that the next heartbeat lists because they were asked for, and where its list goes on.
    asked: BTreeSet<Lane>,
    listing: Option<Lane>,
    /// The frames that are kept, oldest first, the bytes of all, and how many events they have.
    kept: VecDeque<KeptFrame>,
    kept_bytes: usize,
    kept_events: u64,
    /// The stamp of the newest frame.
    stamp: Duration,
    /// The lanes that were served last; the next ones are served next.
    served: Lane,
    repaired: Lane,
    /// Whether the next frame is one to send again, if there is one.
    repairs_next: bool,
    /// How many bytes, and how many events, may be sent again.
    bucket: Bucket,
    repair_pace: Bucket,
    /// While a backlog is sent: how many messages may be, and until when it is to be sent.
    pace: Option<(Bucket, Instant)>,
    /// How many frames were sent again, and how many events they have.
    repairs: u64,
    repaired_events: u64,
}

/// Where a frame is kept, when the oldest of its events was published, and how many it has.
#[derive(Debug, Clone, Copy)]
struct KeptFrame {
    lane: Lane,
    first: u64,
    published: Instant,
    events: u64,
}

impl Origin {
    pub(super) fn new(id: NodeId, frame: usize) -> Self {
        Self {
            id,
            frame,
            signatures: None,
            lanes: BTreeMap::new(),
            waiting: 0,
            bytes: 0,
            waits_since: Instant::MAX,
            expires: false,
            busy: BTreeSet::new(),
            wanted: BTreeSet::new(),
            asked: BTreeSet::new(),
            listing: None,
            kept: VecDeque::new(),
            kept_bytes: 0,
            kept_events: 0,
            stamp: Duration::ZERO,
            served: Lane(u32::MAX),
            repaired: Lane(u32::MAX),
            repairs_next: false,
            bucket: Bucket::new(Instant::ZERO, 1, frame as u64),
            repair_pace: Bucket::new(Instant::ZERO, REPAIRS, REPAIRS / BURSTS),
            pace: None,
            repairs: 0,
            repaired_events: 0,
        }
    }

    /// Signs every frame.
    pub(super) fn sign(&mut self, signatures: Arc<Signatures>) {
        self.signatures = Some(signatures);
    }

    /// What signs the frames.
    pub(super) fn signatures(&self) -> Option<&Signatures> {
        self.signatures.as_deref()
    }

    /// Fills frames with at most this many bytes from now on.
    pub(super) fn limit_frames(&mut self, bytes: usize) {
        self.frame = bytes;
    }

    /// A stamp for the frame that is made now: later than every one before.
    pub(super) fn stamp(&mut self, now: Instant) -> Duration {
        let micros = u64::try_from(now.since_origin().as_micros()).unwrap_or(u64::MAX);
        let tick = Duration::from_micros(1);
        self.stamp = Duration::from_micros(micros).max(self.stamp.saturating_add(tick));
        self.stamp
    }

    pub(super) fn push(&mut self, queued: Queued) {
        self.bytes += queued.message.size();
        self.waiting += 1;
        self.waits_since = self.waits_since.min(queued.since);
        self.busy.insert(queued.lane);
        let line = self.lanes.entry(queued.lane).or_default();
        line.push(queued.since, queued.message);
    }

    /// Gives up what waits for longer than its time to live, and forgets what was sent for as long. Gives how many messages
    /// were given up.
    ///
    /// Where something of a backlog is given up, what would be as old once it `arrives` goes with it, on every lane: others
    /// would find it missing after they reported the rest.
    pub(super) fn expire(&mut self, now: Instant, ttl: Duration, arrives: Duration) -> u64 {
        self.forget(|oldest, _| now - oldest.published > ttl);
        let (waits, before) = (now - self.waits_since, self.waiting);
        let sooner = ttl.saturating_sub(arrives);
        // What comes behind waits for its turn, and grows older meanwhile.
        self.expires &= waits > sooner.saturating_sub(arrives * BEHIND);
        if waits > ttl && !self.expires {
            self.give_up(now, ttl);
            self.expires = self.waiting < before;
        }
        if waits > sooner && self.expires {
            self.give_up(now, sooner);
        }
        (before - self.waiting) as u64
    }

    /// Gives up what waits for longer than this.
    fn give_up(&mut self, now: Instant, age: Duration) {
        let Self { lanes, busy, .. } = self;
        busy.retain(|lane| {
            let Some(line) = lanes.get_mut(lane) else {
                return false;
            };
            let (count, bytes, forgotten) = line.expire(now, age);
            self.waiting -= count;
            self.bytes -= bytes;
            self.kept_bytes -= forgotten;
            line.waits()
        });
        self.waits_since = self.oldest().unwrap_or(Instant::MAX);
    }

    /// Gives up kept frames, oldest first, while they are `due`.
    fn forget(&mut self, due: impl Fn(&KeptFrame, usize) -> bool) {
        while let Some(oldest) = self.kept.front().copied()
            && due(&oldest, self.kept_bytes)
        {
            self.kept.pop_front();
            self.kept_events -= oldest.events;
            let line = self.lanes.entry(oldest.lane).or_default();
            self.kept_bytes -= line.give_up(oldest.first);
        }
    }

    /// The bus does not take this frame: others are kept, and to be sent, in its place.
    pub(super) fn refuse(&mut self, refused: &Outbound, frame: &Frame) -> Refused {
        let (lane, first) = (refused.lane, frame.header().first);
        let Some(line) = self.lanes.get_mut(&lane) else {
            return Refused::default();
        };
        let kept = line.kept_at(first);
        if kept.is_some_and(|kept| *kept != refused.frame) {
            // It was sent twice, and the first refusal was answered.
            return Refused::default();
        }
        let parts = parts(frame, self.signatures.as_deref());
        if parts.is_empty() {
            self.kept_bytes -= line.forget_until(first);
            return Refused::default();
        }
        if kept.is_some() {
            let (before, after) = line.replace(first, &parts);
            self.kept_bytes = self.kept_bytes - before + after;
            self.keep_instead(lane, first, &parts);
        }
        let lost = u64::from(parts.len() == 1);
        let echo = refused.echo;
        let instead = parts.into_iter().map(|part| {
            let frame = part.frame;
            Outbound { lane, frame, echo }
        });
        let instead = instead.collect();
        Refused { lost, instead }
    }

    /// Keeps these frames in the place of the one with this first number.
    fn keep_instead(&mut self, lane: Lane, first: u64, parts: &[Part]) {
        let is_it = |kept: &KeptFrame| (kept.lane, kept.first) == (lane, first);
        let Some(place) = self.kept.iter().rposition(is_it) else {
            return;
        };
        let Some(replaced) = self.kept.remove(place) else {
            return;
        };
        for part in parts.iter().rev() {
            let (first, events) = (part.first, part.events());
            let kept = KeptFrame {
                first,
                events,
                ..replaced
            };
            self.kept.insert(place, kept);
        }
    }

    /// Another node asks for events.
    pub(super) fn want(&mut self, now: Instant, runs: &[AskedRun], linger: Duration) {
        for run in runs {
            let lane = Lane(run.lane);
            if self.asked.len() < ASKED_LANES {
                self.asked.insert(lane);
            }
            if let Some(line) = self.lanes.get_mut(&lane) {
                line.want(now, run, linger);
                if line.is_wanted() {
                    self.wanted.insert(lane);
                }
            }
        }
    }

    /// Events may be sent from now on; what waits for long goes out over a part of that time, for it comes to mailboxes
    /// that would else have to hold all of it at once.
    pub(super) fn open(&mut self, now: Instant, heartbeat: Duration) {
        let waited = self.oldest().map_or(Duration::ZERO, |since| now - since);
        self.pace = (waited > heartbeat / 4).then(|| {
            let span = waited / BACKLOG;
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
            // What is published meanwhile comes on top, at the rate at which the backlog grew.
            let count = self.waiting as u64 + self.waiting as u64 / u64::from(BACKLOG);
            let rate = count.saturating_mul(1_000) / millis + 1;
            (Bucket::new(now, rate, rate / BURSTS), now + span * 2)
        });
    }

    /// The next frame: a new one, where these may be sent, or one to send again, by turns. Where the bus is `slow`, less is
    /// sent again.
    pub(super) fn frame(
        &mut self,
        now: Instant,
        config: &Config,
        members: usize,
        open: bool,
        slow: bool,
    ) -> Option<Outbound> {
        let rate = Config::repaired_bytes(members) as u64;
        self.bucket.set_rate(if slow { rate / 2 } else { rate });
        self.repairs_next = !self.repairs_next;
        let first = match self.repairs_next {
            true => self.repair(now),
            false => None,
        };
        first
            .or_else(|| open.then(|| self.next(now, config, members)).flatten())
            .or_else(|| self.repair(now))
    }

    fn repair(&mut self, now: Instant) -> Option<Outbound> {
        if self.wanted.is_empty() || self.bucket.available(now) == 0 {
            return None;
        }
        // They come to mailboxes that took them at the rate at which they were published.
        let oldest = self.kept.front().map_or(now, |oldest| oldest.published);
        let millis = (now - oldest).as_millis().max(1);
        let rate = u128::from(self.kept_events * FASTER) * 1_000 / millis;
        let rate = u64::try_from(rate).unwrap_or(u64::MAX).max(REPAIRS);
        self.repair_pace.pace(rate, rate / BURSTS);
        if self.repair_pace.available(now) == 0 {
            return None;
        }
        while let Some(lane) = after(&self.wanted, self.repaired) {
            self.repaired = lane;
            let line = self.lanes.get_mut(&lane);
            let (frame, more) =
                line.map_or((None, false), |line| (line.repair(now), line.is_wanted()));
            if !more {
                self.wanted.remove(&lane);
            }
            if let Some((frame, events)) = frame {
                self.repair_pace.take(events);
                self.bucket.take(frame.len() as u64);
                self.repairs += 1;
                self.repaired_events += events;
                let echo = false;
                return Some(Outbound { lane, frame, echo });
            }
        }
        None
    }

    fn next(&mut self, now: Instant, config: &Config, members: usize) -> Option<Outbound> {
        let lane = after(&self.busy, self.served)?;
        let most = self.allowed(now)?;
        self.served = lane;
        let stamp = self.stamp(now);
        let line = self.lanes.get_mut(&lane)?;
        let published = line.oldest()?;
        let signatures = self.signatures.as_deref();
        let most = (self.frame, most);
        let (frame, count, bytes) = line.frame(now, (self.id, lane.0), stamp, most, signatures)?;
        if !line.waits() {
            self.busy.remove(&lane);
        }
        if let Some((first, size)) = line.newest() {
            let events = count as u64;
            self.kept.push_back(KeptFrame {
                lane,
                first,
                published,
                events,
            });
            self.kept_bytes += size;
            self.kept_events += events;
        }
        self.waiting -= count;
        self.bytes -= bytes;
        if let Some((pace, _)) = &mut self.pace {
            pace.take(count as u64);
        }
        if self.waiting == 0 {
            self.pace = None;
        }
        let limit = config.kept_bytes(members);
        self.forget(|_, bytes| bytes > limit);
        let echo = false;
        Some(Outbound { lane, frame, echo })
    }

    /// How many messages the next frame may have.
    fn allowed(&mut self, now: Instant) -> Option<usize> {
        match &mut self.pace {
            Some((_, until)) if now >= *until => self.pace = None,
            Some((pace, _)) => {
                let allowed = usize::try_from(pace.available(now)).unwrap_or(usize::MAX);
                // Frames of a burst each, rather than one for each message.
                return (now >= pace.due(self.waiting as u64)).then_some(allowed.max(1));
            }
            None => {}
        }
        Some(usize::MAX)
    }

    /// When the next frame can be made that has to wait now: one to send again, or a new one, where these may be sent.
    pub(super) fn due(&self, open: bool) -> Option<Instant> {
        // Asked for in every turn of a driver, and rarely is anything wanted.
        let repair = || self.bucket.due(1).max(self.repair_pace.due(1));
        let repair = (!self.wanted.is_empty()).then(repair);
        let next = match &self.pace {
            Some((pace, until)) if open && self.waiting > 0 => {
                Some(pace.due(self.waiting as u64).min(*until))
            }
            _ => None,
        };
        repair.into_iter().chain(next).min()
    }

    /// How far the lanes have come that were used since this moment of our clock or asked for, at most so many, and
    /// whether these are all that were ever used. The next call goes on where this one stopped.
    pub(super) fn progress(&mut self, since: Duration, most: usize) -> (Vec<LaneProgress>, bool) {
        let begin = self.listing.take();
        let mut whole = begin.is_none();
        let mut listed = Vec::new();
        for (lane, line) in self.lanes.range(begin.unwrap_or(Lane(0))..) {
            if line.used() < since && !self.asked.contains(lane) {
                whole = false;
            } else if listed.len() < most {
                listed.push(line.progress(lane.0));
            } else {
                self.listing = Some(*lane);
                return (listed, false);
            }
        }
        // A lane that was asked for and never used says so.
        for lane in core::mem::take(&mut self.asked) {
            if !self.lanes.contains_key(&lane) && listed.len() < most {
                listed.push(Line::default().progress(lane.0));
            }
        }
        (listed, whole)
    }

    /// Whether [`progress`](Self::progress) stopped before the end.
    pub(super) fn has_more_progress(&self) -> bool {
        self.listing.is_some()
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes are kept to be sent again.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// How many frames were sent again, and how many events they have.
    pub(super) fn repairs(&self) -> (u64, u64) {
        (self.repairs, self.repaired_events)
    }

    /// Since when the oldest message waits.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let lanes = self.busy.iter().filter_map(|lane| self.lanes.get(lane));
        lanes.filter_map(Line::oldest).min()
    }
}

/// The lane that comes after this one, in turn.
fn after(lanes: &BTreeSet<Lane>, served: Lane) -> Option<Lane> {
    let next = Lane(served.0.saturating_add(1));
    let mut later = lanes.range(next..);
    later.next().or_else(|| lanes.first()).copied()
}
