//! Which lane an audience is served on.

use crate::audience::Audience;
use crate::bus::Lane;
use crate::target::Scope;

/// The lane of an audience among so many: that of its target, or lane 0 for several.
pub(crate) fn lane(scope: &Scope, audience: &Audience, lanes: u32) -> Lane {
    let mut targets = audience.targets();
    match (targets.next(), targets.next()) {
        (Some(target), None) => {
            let (kind, id) = (target.kind() as u8, target.id().as_bytes());
            lane_of(scope.as_bytes(), kind, id, lanes)
        }
        _ => Lane(0),
    }
}

/// The lane of a target: FNV-1a of its scope, kind and id, the same in every build and on every platform.
pub(crate) fn lane_of(scope: &[u8], kind: u8, id: &[u8], lanes: u32) -> Lane {
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
    Lane((mixed % u64::from(lanes)) as u32)
}
