//! Which lanes have members on this node, and which of them the bus brings.

use alloc::boxed::Box;
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
    outgoing: Arc<Outgoing<H>>,
}

struct LaneUse {
    /// The targets with members here. Counts come in any order, so it may fall below zero for a moment.
    targets: AtomicI32,
    subscribed: AtomicBool,
    changed: AtomicBool,
}

impl<H: Host> Lanes<H> {
    pub(super) fn new(count: u32, outgoing: Arc<Outgoing<H>>) -> Self {
        let lanes = (0..count).map(|_| LaneUse {
            targets: AtomicI32::new(0),
            subscribed: AtomicBool::new(false),
            changed: AtomicBool::new(false),
        });
        Self {
            map: LaneMap::new(count),
            lanes: lanes.collect(),
            changed: Mutex::new(Vec::new()),
            outgoing,
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
    }

    /// The bus may not bring the lane any more.
    pub(super) fn unsubscribed(&self, lane: Lane) {
        let subscribed = &self.lane_use(lane).subscribed;
        subscribed.store(false, Ordering::SeqCst);
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
        // With one lane, it is always wanted.
        if self.lanes.len() == 1 {
            return;
        }
        let lane = self.lane(key);
        let lane_use = self.lane_use(lane);
        let before = lane_use.targets.fetch_add(change, Ordering::SeqCst);
        let turned = (before > 0) != (before + change > 0);
        if turned && !lane_use.changed.swap(true, Ordering::SeqCst) {
            self.changed.lock().push(lane);
            self.outgoing.wake();
        }
    }

    fn lane(&self, key: KeyRef<'_>) -> Lane {
        self.map.lane_of_key(key.scope(), key.kind(), key.id())
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
        let lane = self.lane(key);
        if self.lane_use(lane).subscribed.load(Ordering::SeqCst) {
            return ReachAnswer::Known(Reach::Everywhere);
        }
        let (answer, receiver) = oneshot::channel();
        self.outgoing.command(Command::Subscribe { lane, answer });
        ReachAnswer::Pending(receiver)
    }
}
