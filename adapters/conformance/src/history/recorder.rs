//! The one place into which all observers of a run write.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::fact::{AttachmentId, Fact};
use super::log::{History, Record};

/// Records facts from any thread, in one order. A clone writes into the same history.
///
/// Recording costs a lock and a push, so sinks may record from inside.
#[derive(Clone)]
pub struct Recorder(Arc<Recording>);

struct Recording {
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    records: Mutex<Vec<Record>>,
    attachments: AtomicU64,
    publishers: AtomicU32,
}

impl Recorder {
    /// A recorder whose moments are those of `clock`.
    pub fn new(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(Recording {
            clock: Box::new(clock),
            records: Mutex::default(),
            attachments: AtomicU64::new(0),
            publishers: AtomicU32::new(0),
        }))
    }

    /// The time on the clock of the history.
    #[must_use]
    pub fn now(&self) -> Duration {
        (self.0.clock)()
    }

    /// Records that this happened now.
    pub fn record(&self, fact: Fact) {
        // The moment is read under the lock, so that moments never fall.
        let mut records = self.records();
        let at = (self.0.clock)();
        records.push(Record { at, fact });
    }

    /// An attachment id that was not given before.
    #[must_use]
    pub fn new_attachment(&self) -> AttachmentId {
        AttachmentId(self.0.attachments.fetch_add(1, Ordering::Relaxed))
    }

    /// A publisher's number that was not given before.
    #[must_use]
    pub fn new_publisher(&self) -> u32 {
        self.0.publishers.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of facts recorded up to now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records().len()
    }

    /// Whether nothing was recorded yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records().is_empty()
    }

    /// Shows every fact from position `from` on, in order, and returns the position behind the last: a caller that
    /// polls with it sees each fact once, and holds the lock for the new facts only.
    pub fn visit(&self, from: usize, mut see: impl FnMut(&Record)) -> usize {
        let records = self.records();
        records.iter().skip(from).for_each(&mut see);
        records.len()
    }

    /// Takes the history; what is recorded later begins another.
    #[must_use]
    pub fn finish(&self) -> History {
        let records = std::mem::take(&mut *self.records());
        History {
            end: (self.0.clock)(),
            records,
        }
    }

    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
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
