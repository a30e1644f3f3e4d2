//! What does not work just now, and who is told.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::error::Error;
use core::fmt::Write;

use crate::BackendErrorKind;
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

/// What the error says, and what each of its causes says that is not said yet.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            // Writing to a string does not fail.
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}
