//! Which lanes have members here, and which of them the bus brings.

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
/// A target that comes is counted on its lane before anyone asks whether the lane is heard, and a lane is
/// marked as no longer heard before its count is read: of a target that comes and a lane that is given up at
/// the same moment, one always sees the other.
pub(super) struct Lanes<H: Host> {
    lanes: Box<[State]>,
    /// Lanes to look at, each once.
    changed: Mutex<H::Mutex, Vec<Lane>>,
    outgoing: Arc<Outgoing<H>>,
}

struct State {
    /// The targets with members here. Counts come in any order, so it may fall below zero for a moment.
    targets: AtomicI32,
    heard: AtomicBool,
    changed: AtomicBool,
}

impl<H: Host> Lanes<H> {
    pub(super) fn new(count: u32, outgoing: Arc<Outgoing<H>>) -> Self {
        let lanes = (0..count).map(|_| State {
            targets: AtomicI32::new(0),
            heard: AtomicBool::new(false),
            changed: AtomicBool::new(false),
        });
        Self {
            lanes: lanes.collect(),
            changed: Mutex::new(Vec::new()),
            outgoing,
        }
    }

    /// Whether the node must hear the lane.
    pub(super) fn wanted(&self, lane: Lane) -> bool {
        lane == Lane(0) || self.state(lane).targets.load(Ordering::SeqCst) > 0
    }

    pub(super) fn all_wanted(&self) -> Vec<Lane> {
        let all = (0..self.lanes.len() as u32).map(Lane);
        all.filter(|lane| self.wanted(*lane)).collect()
    }

    pub(super) fn hear(&self, lane: Lane) {
        self.state(lane).heard.store(true, Ordering::SeqCst);
    }

    pub(super) fn ignore(&self, lane: Lane) {
        self.state(lane).heard.store(false, Ordering::SeqCst);
    }

    /// Takes the lanes that were wanted first or last since the call before.
    pub(super) fn changed(&self) -> Vec<Lane> {
        if self.lanes.len() == 1 {
            return Vec::new();
        }
        let changed = core::mem::take(&mut *self.changed.lock());
        for lane in &changed {
            self.state(*lane).changed.store(false, Ordering::SeqCst);
        }
        changed
    }

    fn state(&self, lane: Lane) -> &State {
        // Whoever makes a lane takes it modulo their number.
        &self.lanes[lane.0 as usize % self.lanes.len()]
    }

    fn count(&self, key: KeyRef<'_>, change: i32) {
        // With one lane, it is always wanted.
        if self.lanes.len() == 1 {
            return;
        }
        let lane = self.lane(key);
        let state = self.state(lane);
        let before = state.targets.fetch_add(change, Ordering::SeqCst);
        let turned = (before > 0) != (before + change > 0);
        if turned && !state.changed.swap(true, Ordering::SeqCst) {
            self.changed.lock().push(lane);
            self.outgoing.wake();
        }
    }

    fn lane(&self, key: KeyRef<'_>) -> Lane {
        let map = LaneMap::new(self.lanes.len() as u32);
        map.lane_of_key(key.scope(), key.kind(), key.id())
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
        if self.state(lane).heard.load(Ordering::SeqCst) {
            return ReachAnswer::Known(Reach::Everywhere);
        }
        let (answer, receiver) = oneshot::channel();
        self.outgoing.command(Command::Hear { lane, answer });
        ReachAnswer::Pending(receiver)
    }
}
