//! What was published and what arrived, event by event, and what follows from it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The bytes of an event; the first 8 say which it is.
pub(super) const SIZE: usize = 64;

/// An event that was published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published {
    /// When, in microseconds.
    pub(super) at: u32,
    /// Whether the receipt said that it is relayed.
    pub(super) accepted: bool,
}

/// An event that arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) publisher: usize,
    pub(super) number: usize,
    /// When, in microseconds.
    pub(super) at: u32,
}

/// The bytes of an event of a publisher.
pub(super) fn payload(publisher: usize, number: usize) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    bytes[..4].copy_from_slice(&(publisher as u32).to_le_bytes());
    bytes[4..8].copy_from_slice(&(number as u32).to_le_bytes());
    bytes
}

/// What arrived at a node, in the order of arrival.
#[derive(Debug)]
pub(super) struct Journal {
    start: Instant,
    arrivals: Mutex<Vec<Arrival>>,
}

impl Journal {
    /// An empty journal with room for so many events, whose times count from `start`.
    pub(super) fn new(start: Instant, events: usize) -> Self {
        Self {
            start,
            arrivals: Mutex::new(Vec::with_capacity(events)),
        }
    }

    pub(super) fn note(&self, payload: &[u8]) {
        let at = micros(self.start);
        let Some(([publisher, number], _)) =
            payload.first_chunk::<8>().map(|word| word.as_chunks::<4>())
        else {
            return;
        };
        let [publisher, number] =
            [publisher, number].map(|word| u32::from_le_bytes(*word) as usize);
        let arrival = Arrival {
            publisher,
            number,
            at,
        };
        let arrivals = self.arrivals.lock();
        let mut arrivals = arrivals.unwrap_or_else(PoisonError::into_inner);
        arrivals.push(arrival);
    }

    pub(super) fn count(&self) -> usize {
        self.with(<[Arrival]>::len)
    }

    /// Looks at what arrived.
    pub(super) fn with<T>(&self, look: impl FnOnce(&[Arrival]) -> T) -> T {
        look(&self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Microseconds since `start`.
pub(super) fn micros(start: Instant) -> u32 {
    start.elapsed().as_micros() as u32
}
