//! Whether a history may have happened, one file for each group of checks.

mod accounted;
mod attachment;
mod bounds;
mod check;
mod context;
mod delivered;
mod faults;
mod gaps;
mod health;
mod index;
mod members;
mod node;
mod point;
mod publish;
mod receipts;

pub use bounds::Bounds;
pub use check::{Check, Violation};

use super::log::History;
use super::tag::EventTag;
use context::Context;
use index::Index;

/// The promises that the history breaks, sorted by check; none if it keeps them all.
#[must_use]
pub fn judge(history: &History, bounds: &Bounds) -> Vec<Violation> {
    let index = Index::new(history);
    let mut context = Context::new(&index, bounds);
    delivered::judge(&mut context);
    members::judge(&mut context);
    accounted::judge(&mut context);
    receipts::judge(&mut context);
    gaps::judge(&mut context);
    health::judge(&mut context);
    context.found.sort_by_key(|violation| violation.check);
    context.found
}

impl History {
    /// Judges the history by every check.
    ///
    /// # Panics
    /// When a promise is broken. The message names the violations, and all that is known of the first event that
    /// one of them names.
    pub fn assert_holds(&self, bounds: &Bounds) {
        self.assert_holds_except(bounds, &[]);
    }

    /// Judges the history by every check but the `ignored` ones.
    ///
    /// # Panics
    /// As [`assert_holds`](Self::assert_holds).
    pub fn assert_holds_except(&self, bounds: &Bounds, ignored: &[Check]) {
        const SHOWN: usize = 10;
        let mut found = judge(self, bounds);
        found.retain(|violation| !ignored.contains(&violation.check));
        if found.is_empty() {
            return;
        }
        let mut message = format!("{} promises are broken:\n", found.len());
        for violation in found.iter().take(SHOWN) {
            message.push_str(&format!("  {violation}\n"));
        }
        // Without an event, what happened to the nodes is shown: no publisher has this number.
        let tag = found.iter().find_map(|violation| violation.tag);
        let tag = tag.unwrap_or(EventTag {
            publisher: u32::MAX,
            number: u32::MAX,
        });
        message.push_str(&self.about(tag));
        panic!("{message}");
    }
}
