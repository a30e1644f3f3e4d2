//! One topic for each lane.

use midplane::{Audience, LaneMap, Scope, Target};

/// The topics of a run: the one of each lane.
#[derive(Debug, Clone)]
pub(super) struct LaneTopics(Vec<Target>);

impl LaneTopics {
    /// The first topic, by number, that is served on each of this many lanes.
    pub(super) fn new(lanes: u32) -> Self {
        let map = LaneMap::new(lanes);
        let topic = |number| Target::topic(format!("t{number}")).expect("an id of a few letters");
        let of_lane = |lane: u32| {
            let mut topics = (0..).map(topic);
            let served = |topic: &Target| {
                map.lane(&Scope::default(), &Audience::from(topic.clone()))
                    .0
                    == lane
            };
            topics.find(served).expect("every lane serves some topic")
        };
        Self((0..lanes).map(of_lane).collect())
    }

    pub(super) fn of(&self, lane: u32) -> &Target {
        &self.0[lane as usize]
    }
}
