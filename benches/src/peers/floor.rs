//! The floor, which no registry can beat: a map to closures, for one thread, without lock, guard, count or catch.

use std::collections::HashMap;
use std::sync::Arc;

use midplane::{Audience, ConnectionId, Event, Target, Verdict};

use super::{Closure, MeasuredPlane, target};

/// A hash map from each target to a vector of closures.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "closures have none")]
pub struct Floor {
    targets: HashMap<Target, Vec<Closure>>,
    last: Option<(Closure, Vec<Target>)>,
}

impl MeasuredPlane for Floor {
    const NAME: &'static str = "floor: unsynchronised map to a Vec of closures";

    fn empty() -> Self {
        Self::default()
    }

    fn attach(
        &mut self,
        id: &ConnectionId,
        sink: impl Fn(&Event) -> Verdict + Send + Sync + 'static,
    ) {
        self.last = Some((Arc::new(sink), Vec::new()));
        self.join_last(&Target::Connection(id.clone()));
    }

    fn join_last(&mut self, target: &Target) {
        if let Some((sink, joined)) = &mut self.last {
            let sinks = self.targets.entry(target.clone()).or_default();
            sinks.push(sink.clone());
            joined.push(target.clone());
        }
    }

    /// The connection attached last is at the end of every vector.
    fn detach_last(&mut self) {
        for target in self
            .last
            .take()
            .map(|(_, joined)| joined)
            .unwrap_or_default()
        {
            if let Some(sinks) = self.targets.get_mut(&target) {
                sinks.pop();
                if sinks.is_empty() {
                    self.targets.remove(&target);
                }
            }
        }
    }

    fn publish(&self, audience: &Audience, event: &Event) -> usize {
        let sinks = target(audience).and_then(|target| self.targets.get(target));
        sinks.map_or(0, |sinks| {
            let mut accepted = 0;
            for sink in sinks {
                if sink(event) == Verdict::Accepted {
                    accepted += 1;
                }
            }
            accepted
        })
    }
}
