//! Whether the machine ran what was due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::fact::Fact;
use super::recorder::Recorder;

/// How late a thread may wake before that counts as a stall.
const LATE: Duration = Duration::from_millis(100);

/// Records, until dropped, when the machine did not run a thread that does nothing but wake: then the machine did
/// not run a server either, which is a fault like any other.
#[derive(Debug)]
pub struct StallWatch {
    stopped: Arc<AtomicBool>,
}

impl StallWatch {
    /// The time to sleep between two [`check`](Self::check)s.
    pub const TICK: Duration = Duration::from_millis(20);

    /// Watches from now on, on a thread of its own.
    #[must_use]
    pub fn start(recorder: &Recorder) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let (recorder, stop) = (recorder.clone(), stopped.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let since = recorder.now();
                thread::sleep(Self::TICK);
                Self::check(&recorder, since);
            }
        });
        Self { stopped }
    }

    /// Records a stall if the caller, who went to sleep at `since` for a [`TICK`](Self::TICK), wakes late.
    pub fn check(recorder: &Recorder, since: Duration) {
        if recorder.now().saturating_sub(since) > LATE {
            recorder.record(Fact::Stalled { since });
        }
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}
