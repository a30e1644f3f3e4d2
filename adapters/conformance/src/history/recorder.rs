//! Where everyone writes what happened.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Fact, History, Record, Seat};

/// Takes down facts from any thread, in one order. A clone writes into the same history.
///
/// A fact costs a lock and a push: sinks may write from inside.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    records: Mutex<Vec<Record>>,
    seats: AtomicU64,
    publishers: AtomicU32,
}

impl Recorder {
    /// A recorder whose moments are those of `clock`.
    pub fn new(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            clock: Box::new(clock),
            records: Mutex::default(),
            seats: AtomicU64::new(0),
            publishers: AtomicU32::new(0),
        }))
    }

    /// What time it is on the clock of the history.
    #[must_use]
    pub fn now(&self) -> Duration {
        (self.0.clock)()
    }

    /// Takes down that this happened now.
    pub fn note(&self, fact: Fact) {
        // The moment is read under the lock, so that moments never fall.
        let mut records = self.records();
        let at = (self.0.clock)();
        records.push(Record { at, fact });
    }

    /// A seat nobody had.
    #[must_use]
    pub fn seat(&self) -> Seat {
        Seat(self.0.seats.fetch_add(1, Ordering::Relaxed))
    }

    /// A publisher nobody was.
    #[must_use]
    pub fn publisher(&self) -> u32 {
        self.0.publishers.fetch_add(1, Ordering::Relaxed)
    }

    /// How many facts there are so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records().is_empty()
    }

    /// Shows every fact from this place on, in order, and gives the place behind the last: who looks again and again
    /// sees each once, and holds nobody up for longer the longer the history is.
    pub fn look(&self, from: usize, mut see: impl FnMut(&Record)) -> usize {
        let records = self.records();
        records.iter().skip(from).for_each(&mut see);
        records.len()
    }

    /// Takes what was recorded; what is noted later begins another history.
    #[must_use]
    pub fn finish(&self) -> History {
        let records = std::mem::take(&mut *self.records());
        History {
            end: (self.0.clock)(),
            records,
        }
    }

    fn records(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        // A push that panicked left the records as they were.
        let records = self.0.records.lock();
        records.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("records", &self.len())
            .finish_non_exhaustive()
    }
}
