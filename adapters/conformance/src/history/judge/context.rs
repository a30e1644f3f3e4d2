//! What every check reads and writes.

use super::bounds::Bounds;
use super::check::{Check, Violation};
use super::index::Index;
use crate::history::tag::EventTag;

/// The history under judgement, its bounds, and what was found so far.
pub(super) struct Context<'a> {
    pub(super) index: &'a Index<'a>,
    pub(super) bounds: &'a Bounds,
    pub(super) found: Vec<Violation>,
}

impl<'a> Context<'a> {
    pub(super) fn new(index: &'a Index<'a>, bounds: &'a Bounds) -> Self {
        let found = Vec::new();
        Self {
            index,
            bounds,
            found,
        }
    }

    pub(super) fn report(&mut self, check: Check, tag: Option<EventTag>, explanation: String) {
        self.found.push(Violation {
            check,
            tag,
            explanation,
        });
    }
}
