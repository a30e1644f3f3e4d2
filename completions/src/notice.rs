//! What a listener says of itself: why it does not work, and that it works again.

use alloc::string::String;

use crate::BackendErrorKind;

/// A part of a listener's work, each of which fails and recovers on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ListenerPart {
    /// Following the stream. Without it completions are handled later, and none is lost.
    Stream,
    /// Taking executions from the ledger. Without it nothing is handled.
    Take,
    /// Renewing leases. Without it handlers are dropped when their leases end.
    Renew,
    /// Recording what became of the work. Without it the work is done again once the leases have ended.
    Settle,
}

impl ListenerPart {
    /// Every part.
    pub const ALL: [Self; 4] = [Self::Stream, Self::Take, Self::Renew, Self::Settle];

    /// The part in a word, as in logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Take => "take",
            Self::Renew => "renew",
            Self::Settle => "settle",
        }
    }
}

/// A change in what a listener can do. There is one notice when a part fails, one more for each other reason while it
/// stays so, and one when it works again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenerNotice {
    /// A part of the listener does not work. The listener goes on trying.
    Trouble {
        /// The part.
        part: ListenerPart,
        /// The kind of the reason.
        kind: BackendErrorKind,
        /// The reason, with its causes. No secret is in it.
        text: String,
    },
    /// The part works again.
    Recovered {
        /// The part.
        part: ListenerPart,
    },
}
