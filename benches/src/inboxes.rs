//! Mailboxes, and the reader that empties them between turns.

use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use midplane::mailbox::{Capacity, Item, Overflow, Receiver, Sender, channel};

/// Events that are pushed before the mailboxes are emptied: a quarter of what a mailbox holds.
const FILL: usize = 64;

/// The reading ends of mailboxes.
#[derive(Debug, Default)]
pub struct Inboxes {
    receivers: Vec<Receiver>,
    batch: Vec<Item>,
}

impl Inboxes {
    /// Room for this many mailboxes.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self {
            receivers: Vec::with_capacity(count),
            batch: Vec::new(),
        }
    }

    /// Makes one more mailbox and gives its writing end.
    pub fn open(&mut self) -> Sender {
        let (sender, receiver) = channel(Capacity::default(), Overflow::DropOldest);
        self.receivers.push(receiver);
        sender
    }

    /// Empties every mailbox and gives the number of items.
    pub fn drain(&mut self) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let mut count = 0;
        for receiver in &mut self.receivers {
            // The batch has room for more than a mailbox holds, so one batch empties it.
            if receiver
                .poll_batch(&mut context, &mut self.batch, 2 * FILL)
                .is_ready()
            {
                count += self.batch.len();
                self.batch.clear();
            }
        }
        count
    }

    /// Times a repeated call, but not the emptying of the mailboxes that the call fills.
    pub fn per_call<T>(mut self, mut call: impl FnMut() -> T) -> impl FnMut(usize) -> Duration {
        move |times| {
            let mut took = Duration::ZERO;
            for first in (0..times).step_by(FILL) {
                let start = Instant::now();
                for _ in first..times.min(first + FILL) {
                    std::hint::black_box(call());
                }
                took += start.elapsed();
                self.drain();
            }
            took
        }
    }
}
