//! What the pump learns of the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the side that reads from the client tells the [`Pump`](crate::Pump). Clones tell the same one.
#[derive(Debug, Clone, Default)]
pub struct Alive(Arc<AliveState>);

#[derive(Debug, Default)]
struct AliveState {
    heard: AtomicBool,
    took: AtomicBool,
    busy: AtomicBool,
}

/// What there was of a client since it was looked for last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Something came from the client, or the application does not read.
    Heard,
    /// The client took something of what had to wait.
    Took,
    /// Nothing.
    None,
}

impl Alive {
    /// Something came from the client: a message, a pong, or part of one.
    pub fn heard(&self) {
        self.0.heard.store(true, Ordering::Relaxed);
    }

    /// The client took something of a write that had waited for it: a [`Patience`](crate::Patience) says so by itself.
    pub fn took(&self) {
        self.0.took.store(true, Ordering::Relaxed);
    }

    /// Whether the application does not read from the client at the moment: silence is not the client's then.
    pub fn set_busy(&self, busy: bool) {
        self.0.busy.store(busy, Ordering::Relaxed);
        if !busy {
            self.heard();
        }
    }

    pub(crate) fn take(&self) -> Sign {
        let took = self.0.took.swap(false, Ordering::Relaxed);
        let heard = self.0.heard.swap(false, Ordering::Relaxed);
        match heard || self.0.busy.load(Ordering::Relaxed) {
            true => Sign::Heard,
            false if took => Sign::Took,
            false => Sign::None,
        }
    }
}
