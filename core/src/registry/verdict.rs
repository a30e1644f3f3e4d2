//! What a sink says of an event or a report, and the call that asks it.

use super::end::ConnectionEnd;
use crate::event::Event;
use crate::missed::Missed;

/// The outcome of an event, or of a report that events may be missing, at one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The sink took the event or the report.
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

/// What a sink says of an event to a fan-out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) verdict: Verdict,
    /// Whether many more events, before its reader had a turn, may be more than the sink has room for.
    pub(crate) fills: bool,
}

/// The room of a sink that says no more than this is not known.
impl From<Verdict> for Taken {
    fn from(verdict: Verdict) -> Self {
        Self {
            verdict,
            fills: verdict == Verdict::Accepted,
        }
    }
}

/// The sink of a connection, as a fan-out calls it.
pub(crate) trait Deliver: Send + Sync {
    fn deliver(&self, event: &Event) -> Taken;

    /// Takes a report that events may be missing, in its place among the events.
    fn missed(&self, missed: &Missed) -> Verdict;

    /// The connection ended, for this reason. Called under a table's lock: it only keeps it.
    fn ended(&self, _end: ConnectionEnd) {}

    /// Reads what the next [`deliver`](Self::deliver) will read first, and says whether there was anything to read. A
    /// fan-out to very many asks several sinks for it before it calls them: their memory then comes at the same time,
    /// not one after the other.
    fn warm(&self) -> bool {
        false
    }
}
