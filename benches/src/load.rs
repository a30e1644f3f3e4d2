//! What a load generator tells about a run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What came of one run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Outcome {
    /// Events that arrived at a subscriber, each counted at each.
    pub deliveries: u64,
    /// How long that took.
    pub seconds: f64,
    /// The time that the servers spent on processors.
    pub busy: f64,
    /// From publishing to delivery, in microseconds.
    pub p50: f64,
    /// The same for 99 of 100 deliveries.
    pub p99: f64,
    /// The same for all.
    pub longest: f64,
}

impl Outcome {
    /// The outcome of deliveries that took so many tenths of microseconds, or `None` of none.
    #[must_use]
    pub fn new(mut latencies: Vec<u32>, took: Duration, busy: Duration) -> Option<Self> {
        latencies.sort_unstable();
        let last = latencies.len().checked_sub(1)?;
        let at = |fraction: f64| f64::from(latencies[(last as f64 * fraction) as usize]) / 10.0;
        Some(Self {
            deliveries: latencies.len() as u64,
            seconds: took.as_secs_f64(),
            busy: busy.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
            longest: at(1.0),
        })
    }

    /// Deliveries per second.
    #[must_use]
    pub fn speed(&self) -> f64 {
        self.deliveries as f64 / self.seconds
    }

    /// Processor time per delivery, in microseconds.
    #[must_use]
    pub fn cost(&self) -> f64 {
        self.busy * 1e6 / self.deliveries as f64
    }
}
