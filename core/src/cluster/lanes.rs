//! Which lanes have members on this node, and which of them the bus brings.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use futures::channel::oneshot;
use lock_api::Mutex;

use super::outgoing::{Command, Outgoing};
use crate::bus::Lane;
use crate::host::Host;
use crate::lane_map::LaneMap;
use crate::registry::{KeyRef, Reach, ReachAnswer, TargetWatcher};
use crate::time::{Instant, Timer};

/// What handles and the driver share of the lanes.
///
/// A target that comes is counted on its lane before its reach is read, and a lane is marked as no longer subscribed
/// before its count is read: of a target that comes and a lane that is given up at the same moment, one always sees
/// the other.
pub(super) struct Lanes<H: Host> {
    map: LaneMap,
    lanes: Box<[LaneUse]>,
    /// Lanes to look at, each once.
    changed: Mutex<H::Mutex, Vec<Lane>>,
    /// When each lane got its first member, of those that got it while they were not subscribed.
    wanted_since: Mutex<H::Mutex, BTreeMap<Lane, Instant>>,
    /// Whether what others publish on subscribed lanes arrives.
    live: AtomicBool,
    outgoing: Arc<Outgoing<H>>,
    timer: Arc<dyn Timer>,
}

struct LaneUse {
    /// The targets with members here. Counts come in any order, so it may fall below zero for a moment.
    targets: AtomicI32,
    subscribed: AtomicBool,
    changed: AtomicBool,
}

impl<H: Host> Lanes<H> {
    pub(super) fn new(count: u32, outgoing: Arc<Outgoing<H>>, timer: Arc<dyn Timer>) -> Self {
        let lanes = (0..count).map(|_| LaneUse {
            targets: AtomicI32::new(0),
            subscribed: AtomicBool::new(false),
            changed: AtomicBool::new(false),
        });
        Self {
            map: LaneMap::new(count),
            lanes: lanes.collect(),
            changed: Mutex::new(Vec::new()),
            wanted_since: Mutex::new(BTreeMap::new()),
            live: AtomicBool::new(false),
            outgoing,
            timer,
        }
    }

    /// Whether the node must subscribe to the lane.
    pub(super) fn wanted(&self, lane: Lane) -> bool {
        lane == Lane(0) || self.lane_use(lane).targets.load(Ordering::SeqCst) > 0
    }

    pub(super) fn all_wanted(&self) -> Vec<Lane> {
        let all = (0..self.lanes.len() as u32).map(Lane);
        all.filter(|lane| self.wanted(*lane)).collect()
    }

    /// The bus brings the lane from now on.
    pub(super) fn subscribed(&self, lane: Lane) {
        self.lane_use(lane).subscribed.store(true, Ordering::SeqCst);
        self.wanted_since.lock().remove(&lane);
    }

    /// The bus may not bring the lane any more.
    pub(super) fn unsubscribed(&self, lane: Lane) {
        self.wanted_since.lock().remove(&lane);
        let subscribed = &self.lane_use(lane).subscribed;
        subscribed.store(false, Ordering::SeqCst);
    }

    /// Since when the lane has members, if it got the first of them while it was not subscribed. Every target counts
    /// for lane 0: events for several targets travel there.
    pub(super) fn wanted_since(&self, lane: Lane) -> Option<Instant> {
        self.wanted_since.lock().get(&lane).copied()
    }

    /// The lane has a member from now on, if it had none.
    fn want(&self, lane: Lane) {
        if self.lane_use(lane).subscribed.load(Ordering::SeqCst) {
            return;
        }
        let now = self.timer.now();
        let mut wanted_since = self.wanted_since.lock();
        let since = wanted_since.entry(lane).or_insert(now);
        // Of two that come at once the earlier counts.
        *since = now.min(*since);
    }

    /// What others publish on subscribed lanes arrives from now on, or may not arrive any more.
    pub(super) fn set_live(&self, live: bool) {
        self.live.store(live, Ordering::SeqCst);
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.load(Ordering::SeqCst)
    }

    /// Takes the lanes that were wanted first or last since the call before.
    pub(super) fn changed(&self) -> Vec<Lane> {
        if self.lanes.len() == 1 {
            return Vec::new();
        }
        let changed = core::mem::take(&mut *self.changed.lock());
        for lane in &changed {
            self.lane_use(*lane).changed.store(false, Ordering::SeqCst);
        }
        changed
    }

    fn lane_use(&self, lane: Lane) -> &LaneUse {
        // Every lane is made modulo their number.
        &self.lanes[lane.0 as usize % self.lanes.len()]
    }

    fn count(&self, key: KeyRef<'_>, change: i32) {
        // Lane 0 is always subscribed while there is a link.
        if change > 0 {
            self.want(Lane(0));
        }
        // With one lane, it is always wanted.
        if self.lanes.len() == 1 {
            return;
        }
        let lane = self.lane(key);
        let lane_use = self.lane_use(lane);
        let before = lane_use.targets.fetch_add(change, Ordering::SeqCst);
        let turned = (before > 0) != (before + change > 0);
        if turned && change > 0 {
            self.want(lane);
        }
        if turned && !lane_use.changed.swap(true, Ordering::SeqCst) {
            self.changed.lock().push(lane);
            self.outgoing.wake();
        }
    }
}

impl<H: Host> TargetWatcher for Lanes<H> {
    fn target_gained(&self, key: KeyRef<'_>) {
        self.count(key, 1);
    }

    fn target_lost(&self, key: KeyRef<'_>) {
        self.count(key, -1);
    }

    fn reach(&self, key: KeyRef<'_>) -> ReachAnswer {
        if self.reaches(key) == Reach::Everywhere {
            return ReachAnswer::Known(Reach::Everywhere);
        }
        let lane = self.lane(key);
        let (answer, receiver) = oneshot::channel();
        let now = self.timer.now();
        self.outgoing
            .command(now, Command::Subscribe { lane, answer });
        ReachAnswer::Pending(receiver)
    }

    fn reaches(&self, key: KeyRef<'_>) -> Reach {
        let lane_use = self.lane_use(self.lane(key));
        match self.is_live() && lane_use.subscribed.load(Ordering::SeqCst) {
            true => Reach::Everywhere,
            false => Reach::Here,
        }
    }

    fn lane(&self, key: KeyRef<'_>) -> Lane {
        self.map.lane_of_key(key.scope(), key.kind(), key.id())
    }

    fn has_members(&self, lane: Lane) -> bool {
        // With one lane, its targets are not counted.
        self.lanes.len() == 1 || self.lane_use(lane).targets.load(Ordering::SeqCst) > 0
    }

    fn now(&self) -> Instant {
        self.timer.now()
    }
}
