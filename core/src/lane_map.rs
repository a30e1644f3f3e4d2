//! Which lane a target is served on.

use crate::audience::Audience;
use crate::bus::Lane;
use crate::target::Scope;

/// The assignment of targets to the lanes of a bus, equal on every node, in every build and on every platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneMap {
    lanes: u32,
}

impl LaneMap {
    /// The assignment to this many lanes; zero counts as one.
    #[must_use]
    pub const fn new(lanes: u32) -> Self {
        let lanes = if lanes == 0 { 1 } else { lanes };
        Self { lanes }
    }

    /// The lane of an audience: that of its target, or lane 0 for several.
    #[must_use]
    pub fn lane(self, scope: &Scope, audience: &Audience) -> Lane {
        let mut targets = audience.targets();
        match (targets.next(), targets.next()) {
            (Some(target), None) => {
                let (kind, id) = (target.kind() as u8, target.id().as_bytes());
                self.lane_of_key(scope.as_bytes(), kind, id)
            }
            _ => Lane(0),
        }
    }

    /// The lane of one target: FNV-1a over its scope, kind and id.
    pub(crate) fn lane_of_key(self, scope: &[u8], kind: u8, id: &[u8]) -> Lane {
        // http://www.isthe.com/chongo/tech/comp/fnv/, 64 bits.
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let head = [kind, scope.len() as u8];
        let bytes = head.iter().chain(scope).chain(id);
        let hash = bytes.fold(OFFSET, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
        });
        // The lowest bits of FNV mix least.
        let mixed = hash ^ (hash >> 32);
        Lane((mixed % u64::from(self.lanes)) as u32)
    }
}
