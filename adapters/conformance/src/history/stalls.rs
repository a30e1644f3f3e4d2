//! Whether the machine had time for what was due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{Fact, Recorder};

/// How late something may be that is due.
const LATE: Duration = Duration::from_millis(100);

/// Writes down, until it is dropped, when the machine had no time for a thread that does nothing else: then a server
/// had none either, and that is a fault like any other.
#[derive(Debug)]
pub struct Stalls {
    over: Arc<AtomicBool>,
}

impl Stalls {
    /// How long to sleep between two looks.
    pub const TICK: Duration = Duration::from_millis(20);

    /// Watches from now on.
    #[must_use]
    pub fn watch(recorder: &Recorder) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (recorder, ends) = (recorder.clone(), over.clone());
        thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let since = recorder.now();
                thread::sleep(Self::TICK);
                Self::look(&recorder, since);
            }
        });
        Self { over }
    }

    /// Writes it down if who went to sleep then, for a [`TICK`](Self::TICK), wakes late.
    pub fn look(recorder: &Recorder, since: Duration) {
        if recorder.now().saturating_sub(since) > LATE {
            recorder.note(Fact::Stalled { since });
        }
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
