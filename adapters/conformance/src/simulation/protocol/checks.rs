//! What a run is held to beside the oracle's checks.

use std::collections::HashMap;

use midplane::envelope::NodeId;

use super::plan::Plan;
use crate::history::{Bounds, Exemptions, Fact, History};

/// What happened in a run.
#[derive(Debug)]
pub struct RepairRun {
    /// What happened.
    pub history: History,
    /// What the history is held to.
    pub bounds: Bounds,
    /// How many messages wait at the end in each node that lives.
    pub queued: Vec<(NodeId, usize)>,
    /// What was drawn.
    pub(super) plan: Plan,
}

impl RepairRun {
    /// Judges the run, and returns what is exempt.
    ///
    /// # Panics
    /// When a promise is broken; the message says which, and what was drawn.
    pub fn assert_holds(&self) -> Exemptions {
        let exemptions = self.history.assert_holds(&self.bounds);
        self.nothing_is_stale();
        self.numbers_are_used_once();
        for (node, queued) in &self.queued {
            assert_eq!(*queued, 0, "what waits in {node:?} at the end");
        }
        exemptions
    }

    /// What was drawn, for people.
    #[must_use]
    pub fn drawn(&self) -> String {
        format!("{:#?}", self.plan)
    }

    /// No event arrives later than its time to live.
    fn nothing_is_stale(&self) {
        let mut published = HashMap::new();
        let mut nodes = HashMap::new();
        for record in &self.history.records {
            match record.fact {
                Fact::Attaching {
                    attachment, node, ..
                } => drop(nodes.insert(attachment, node)),
                Fact::Publishing { tag, node, .. } => {
                    published.insert(tag, (node, record.at));
                }
                Fact::Delivered {
                    attachment,
                    tag: Some(tag),
                    ..
                } => {
                    let Some((origin, at)) = published.get(&tag) else {
                        continue;
                    };
                    let age = record.at - *at;
                    // The age is counted from the fastest heartbeat of the origin, which took a while itself.
                    let most = self.bounds.time_to_live + self.bounds.delay + self.bounds.clock;
                    assert!(
                        *origin == nodes[&attachment] || age <= most,
                        "event {tag} arrived at an age of {age:?}"
                    );
                }
                _ => {}
            }
        }
    }

    /// A number names one event for ever.
    fn numbers_are_used_once(&self) {
        let mut used = HashMap::new();
        for record in &self.history.records {
            if let Fact::Sent {
                origin,
                lane,
                number,
                tag: Some(tag),
                ..
            } = record.fact
            {
                let before = *used.entry((origin, lane, number)).or_insert(tag);
                assert_eq!(before, tag, "{origin:?} used {number} on lane {lane} twice");
            }
        }
    }
}
