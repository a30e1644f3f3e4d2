//! What does not work just now, and who is told.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::error::Error;

use crate::BackendErrorKind;
use crate::error::with_causes;
use crate::notice::{ListenerNotice, ListenerPart};

/// What notices go to.
pub(crate) type Observer = Box<dyn Fn(&ListenerNotice) + Send + Sync>;

/// The parts of a listener that do not work.
#[derive(Default)]
pub(super) struct Incidents {
    open: BTreeMap<ListenerPart, BackendErrorKind>,
}

impl Incidents {
    /// The notice that a part failed, unless one said so of this kind of reason.
    pub(super) fn failed(
        &mut self,
        part: ListenerPart,
        kind: BackendErrorKind,
        error: &dyn Error,
    ) -> Option<ListenerNotice> {
        let before = self.open.insert(part, kind);
        (before != Some(kind)).then(|| ListenerNotice::Trouble {
            part,
            kind,
            text: with_causes(error),
        })
    }

    /// The notice that a part works, if one said that it did not.
    pub(super) fn works(&mut self, part: ListenerPart) -> Option<ListenerNotice> {
        let before = self.open.remove(&part);
        before.map(|_| ListenerNotice::Recovered { part })
    }
}
