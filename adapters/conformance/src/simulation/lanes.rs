//! The lanes that a fault affects.

use midplane::bus::Lane;
use midplane_testkit::random::Random;

/// The lanes that a fault affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AffectedLanes {
    /// Every lane.
    All,
    /// One lane alone.
    One(Lane),
    /// The lanes of one of two shards: the even ones, or the odd ones.
    Shard(u32),
}

impl AffectedLanes {
    /// All lanes in half of the cases, else one of them, or a shard of two.
    pub(super) fn draw(random: &mut Random, lanes: u32) -> Self {
        match random.below(4) {
            _ if lanes == 1 => Self::All,
            0 => Self::One(Lane(random.below(u64::from(lanes)) as u32)),
            1 => Self::Shard(random.below(2) as u32),
            _ => Self::All,
        }
    }

    pub(super) fn include(self, lane: Lane) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => lane == one,
            Self::Shard(shard) => lane.0 % 2 == shard,
        }
    }

    /// Whether heartbeats are among what is affected, so that the node cannot hear its own.
    pub(super) fn include_heartbeats(self) -> bool {
        self.include(Lane(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_every_second_lane_and_heartbeats_are_on_lane_0() {
        let included = |affected: AffectedLanes| {
            let lanes = (0..4).filter(|lane| affected.include(Lane(*lane)));
            lanes.collect::<Vec<u32>>()
        };
        assert_eq!(included(AffectedLanes::All), [0, 1, 2, 3]);
        assert_eq!(included(AffectedLanes::One(Lane(3))), [3]);
        assert_eq!(included(AffectedLanes::Shard(1)), [1, 3]);
        assert!(AffectedLanes::Shard(0).include_heartbeats());
        assert!(!AffectedLanes::One(Lane(2)).include_heartbeats());
    }
}
