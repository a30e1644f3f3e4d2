//! What every check reads and writes.

use std::time::Duration;

use midplane::envelope::NodeId;

use super::bounds::Bounds;
use super::check::{Check, Violation};
use super::exempt::Exemptions;
use super::index::Index;
use super::node::NodeTimeline;
use crate::history::tag::EventTag;

/// The history under judgement, its bounds, and what was found so far.
pub(super) struct Context<'a> {
    pub(super) index: &'a Index<'a>,
    pub(super) bounds: &'a Bounds,
    pub(super) found: Vec<Violation>,
    pub(super) exemptions: Exemptions,
}

impl<'a> Context<'a> {
    pub(super) fn new(index: &'a Index<'a>, bounds: &'a Bounds) -> Self {
        Self {
            index,
            bounds,
            found: Vec::new(),
            exemptions: Exemptions::default(),
        }
    }

    pub(super) fn report(&mut self, check: Check, tag: Option<EventTag>, explanation: String) {
        self.found.push(Violation {
            check,
            tag,
            explanation,
        });
    }

    /// Whether, at some instant between these moments, the node may have believed forged numbers of this origin and
    /// lane: an unknown sender sent them not long before. They take as long as any frame, and then the node needs as
    /// long as it may take to heal to refute them.
    pub(super) fn is_impersonated(
        &self,
        timeline: &NodeTimeline,
        lane: (NodeId, u32),
        from: Duration,
        until: Duration,
    ) -> bool {
        let refuted = self.bounds.delay + self.bounds.heal;
        let times = timeline.impersonated.get(&lane).into_iter().flatten();
        let mut believed = times.map(|at| (*at, *at + refuted));
        believed.any(|(begin, end)| begin <= until && from <= end)
    }
}
