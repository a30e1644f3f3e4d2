//! Whether a history may have happened, one file for each group of checks.

mod accounted;
mod attachment;
mod bounds;
mod check;
mod context;
mod delivered;
mod excused;
mod exempt;
mod faults;
mod gaps;
mod health;
mod index;
mod members;
mod node;
mod point;
mod publish;
mod receipts;
mod reported;
mod told;

pub use bounds::{Accounting, Bounds};
pub use check::{Check, Violation};
pub use exempt::{Exemption, Exemptions};

use super::log::History;
use super::tag::EventTag;
use context::Context;
use index::Index;

/// What the judge says of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The promises that the history breaks, sorted by check; none if it keeps them all.
    pub violations: Vec<Violation>,
    /// How many events were owed, told as lost, or exempt.
    pub exemptions: Exemptions,
}

/// Judges the history by every check.
#[must_use]
pub fn judge(history: &History, bounds: &Bounds) -> Judgement {
    let index = Index::new(history);
    let mut context = Context::new(&index, bounds);
    delivered::judge(&mut context);
    members::judge(&mut context);
    accounted::judge(&mut context);
    receipts::judge(&mut context);
    gaps::judge(&mut context);
    told::judge(&mut context);
    health::judge(&mut context);
    context.found.sort_by_key(|violation| violation.check);
    Judgement {
        violations: context.found,
        exemptions: context.exemptions,
    }
}

impl History {
    /// Judges the history by every check, and returns what it exempts.
    ///
    /// # Panics
    /// When a promise is broken. The message names the violations, and all that is known of the first event that
    /// one of them names.
    pub fn assert_holds(&self, bounds: &Bounds) -> Exemptions {
        self.assert_holds_except(bounds, &[])
    }

    /// Judges the history by every check but the `ignored` ones.
    ///
    /// # Panics
    /// As [`assert_holds`](Self::assert_holds).
    pub fn assert_holds_except(&self, bounds: &Bounds, ignored: &[Check]) -> Exemptions {
        const SHOWN: usize = 10;
        let Judgement {
            violations: mut found,
            exemptions,
        } = judge(self, bounds);
        found.retain(|violation| !ignored.contains(&violation.check));
        if found.is_empty() {
            return exemptions;
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
