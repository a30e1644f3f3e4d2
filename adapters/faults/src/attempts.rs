//! When the nodes of a cluster try to connect.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use midplane::bus::{Bus, BusError, Limits, Link};
use midplane_conformance::history::{Fact, Recorder};
use midplane_testkit::lock::locked;

/// The moments of all connect attempts, on the clock of the history. A clone is another handle to the list.
#[derive(Debug, Clone)]
pub struct ConnectAttempts {
    recorder: Recorder,
    moments: Arc<Mutex<Vec<Duration>>>,
}

impl ConnectAttempts {
    pub(crate) fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            moments: Arc::default(),
        }
    }

    /// A bus like this one, whose connect attempts are counted.
    pub(crate) fn count(&self, bus: Arc<dyn Bus>) -> Arc<dyn Bus> {
        let attempts = self.clone();
        Arc::new(CountingBus { bus, attempts })
    }

    /// The number of attempts since this moment.
    #[must_use]
    pub fn since(&self, moment: Duration) -> usize {
        self.sorted(moment).len()
    }

    /// The most attempts within any `span` since this moment. Where the machine stalled, every node comes at the end
    /// of the stall, which does not count.
    #[must_use]
    pub fn most_within(&self, span: Duration, since: Duration) -> usize {
        let moments = self.sorted(since);
        let mut stalls = Vec::new();
        self.recorder.visit(0, |record| {
            if let Fact::Stalled { since } = record.fact {
                stalls.push((since, record.at));
            }
        });
        let calm = |from: Duration| {
            let mut stalls = stalls.iter();
            stalls.all(|(begin, end)| *end < from || from + span < *begin)
        };
        let begins = moments.iter().enumerate().filter(|(_, from)| calm(**from));
        let within = begins.map(|(position, from)| {
            let until = *from + span;
            moments[position..].partition_point(|moment| *moment <= until)
        });
        within.max().unwrap_or(0)
    }

    fn sorted(&self, since: Duration) -> Vec<Duration> {
        let moments = locked(&self.moments);
        let mut later: Vec<_> = moments.iter().copied().filter(|at| *at >= since).collect();
        later.sort_unstable();
        later
    }
}

#[derive(Debug)]
struct CountingBus {
    bus: Arc<dyn Bus>,
    attempts: ConnectAttempts,
}

#[async_trait]
impl Bus for CountingBus {
    fn limits(&self) -> Limits {
        self.bus.limits()
    }

    fn prefix(&self) -> &str {
        self.bus.prefix()
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let now = self.attempts.recorder.now();
        locked(&self.attempts.moments).push(now);
        self.bus.connect().await
    }
}
