//! The orders to a load generator, and its answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How events are published in a run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Pace {
    /// With this many events in flight.
    Flight(usize),
    /// With this many events per second, however late deliveries are.
    Rate(u64),
}

/// A run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Order {
    /// How events are published.
    pub pace: Pace,
    /// The bytes of an event.
    pub bytes: usize,
    /// The time that is measured.
    pub milliseconds: u64,
}

/// The outcome of one run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Outcome {
    /// Events that arrived, counted at each subscriber.
    pub deliveries: u64,
    /// The time of the run, in seconds.
    pub seconds: f64,
    /// The processor time of the servers, in seconds.
    pub busy: f64,
    /// The median latency from publishing to delivery, in microseconds.
    pub p50: f64,
    /// The latency of the 99th percentile, in microseconds.
    pub p99: f64,
    /// The longest latency, in microseconds.
    pub longest: f64,
}

impl Outcome {
    /// The outcome of deliveries with these latencies, in units of 100 ns; `None` without deliveries.
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
