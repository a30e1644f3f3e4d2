//! What a sink says of an event, and the call that asks it.

use crate::event::Event;

/// The outcome of an event at one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The sink took the event.
    Accepted,
    /// The sink had no room: the event is dropped for this connection and counted.
    Full,
    /// The connection is gone: it is detached.
    Closed,
}

/// A sink that says nothing took the event.
impl From<()> for Verdict {
    fn from((): ()) -> Self {
        Self::Accepted
    }
}

/// The sink of a connection, as a fan-out calls it.
pub(crate) trait Deliver: Send + Sync {
    fn deliver(&self, event: &Event) -> Verdict;

    /// Reads what the next [`deliver`](Self::deliver) will read first, and says whether there was anything to read. A
    /// fan-out to very many asks several sinks for it before it calls them: their memory then comes at the same time,
    /// not one after the other.
    fn warm(&self) -> bool {
        false
    }
}
