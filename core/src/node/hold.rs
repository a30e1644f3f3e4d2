//! The frames of a flow that came before others in front of them.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use core::time::Duration;

use crate::envelope::Frame;

/// What a held frame counts beside its bytes.
const PLACE: usize = 64;

/// A frame, and its last number.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) frame: Frame,
    pub(super) last: u64,
}

impl Held {
    pub(super) fn size(&self) -> usize {
        self.frame.size() + PLACE
    }

    pub(super) fn first(&self) -> u64 {
        self.frame.header().first
    }

    pub(super) fn stamp(&self) -> Duration {
        self.frame.header().stamp
    }

    /// When the first of its events was published.
    pub(super) fn published(&self) -> Duration {
        self.stamp().saturating_sub(self.frame.header().waited)
    }

    /// When the frame before it on its lane was made.
    pub(super) fn before(&self) -> Duration {
        self.stamp().saturating_sub(self.frame.header().before)
    }
}

/// Frames by their first number, and the bytes of all.
#[derive(Debug, Default)]
pub(super) struct Hold {
    frames: BTreeMap<u64, Held>,
    bytes: usize,
}

impl Hold {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds the frame, unless another with the same first number is held.
    pub(super) fn insert(&mut self, held: Held) {
        if let Entry::Vacant(place) = self.frames.entry(held.first()) {
            self.bytes += held.size();
            place.insert(held);
        }
    }

    /// The frame with the lowest numbers.
    pub(super) fn first(&self) -> Option<&Held> {
        self.frames.first_key_value().map(|(_, held)| held)
    }

    pub(super) fn take_first(&mut self) -> Option<Held> {
        let (_, held) = self.frames.pop_first()?;
        self.bytes -= held.size();
        self.release();
        Some(held)
    }

    /// Takes the frame with the highest numbers.
    pub(super) fn take_last(&mut self) -> Option<Held> {
        let (_, held) = self.frames.pop_last()?;
        self.bytes -= held.size();
        self.release();
        Some(held)
    }

    /// Drops the frames that were forged.
    pub(super) fn drop_forged(&mut self, is_forged: impl Fn(&Held) -> bool) {
        self.frames.retain(|_, held| {
            let forged = is_forged(held);
            self.bytes -= if forged { held.size() } else { 0 };
            !forged
        });
    }

    /// A map from which the last frame was taken keeps the room of eleven, 1 KiB for each lane of each node.
    fn release(&mut self) {
        if self.frames.is_empty() {
            self.frames = BTreeMap::new();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.frames.values()
    }
}
