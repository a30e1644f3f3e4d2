//! The next thing that an engineer writes: concurrent maps, from targets to ids and from ids to sinks.

use std::collections::HashSet;
use std::sync::Arc;

use dashmap::DashMap;
use midplane::{Audience, ConnectionId, Event, Target, Verdict};

use super::{Closure, MeasuredPlane, target};

/// [`DashMap`]s of sets of ids and of sinks.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "closures have none")]
pub struct Sharded {
    sinks: DashMap<String, Closure>,
    members: DashMap<Target, HashSet<String>>,
    joined: DashMap<String, HashSet<Target>>,
    last: Option<String>,
}

impl Sharded {
    /// Joins a connection to a target.
    pub fn join(&self, id: &str, target: &Target) {
        let mut members = self.members.entry(target.clone()).or_default();
        members.insert(id.to_owned());
        drop(members);
        let mut joined = self.joined.entry(id.to_owned()).or_default();
        joined.insert(target.clone());
    }

    fn remove_member(&self, id: &str, target: &Target) {
        if let Some(mut members) = self.members.get_mut(target) {
            members.remove(id);
        }
        self.members
            .remove_if(target, |_, members| members.is_empty());
    }

    /// Takes a connection out of a target.
    pub fn leave(&self, id: &str, target: &Target) {
        self.remove_member(id, target);
        if let Some(mut joined) = self.joined.get_mut(id) {
            joined.remove(target);
        }
    }
}

impl MeasuredPlane for Sharded {
    const NAME: &'static str = "DashMap of sets of ids";

    fn empty() -> Self {
        Self::default()
    }

    fn attach(
        &mut self,
        id: &ConnectionId,
        sink: impl Fn(&Event) -> Verdict + Send + Sync + 'static,
    ) {
        let name = id.as_str().to_owned();
        self.sinks.insert(name.clone(), Arc::new(sink));
        self.join(&name, &Target::Connection(id.clone()));
        self.last = Some(name);
    }

    fn join_last(&mut self, target: &Target) {
        if let Some(id) = &self.last {
            self.join(id, target);
        }
    }

    fn detach_last(&mut self) {
        let Some(id) = self.last.take() else { return };
        let joined = self.joined.remove(&id);
        for target in joined.map(|(_, joined)| joined).unwrap_or_default() {
            self.remove_member(&id, &target);
        }
        self.sinks.remove(&id);
    }

    fn publish(&self, audience: &Audience, event: &Event) -> usize {
        let members = target(audience).and_then(|target| self.members.get(target));
        members.map_or(0, |members| {
            members
                .iter()
                .filter_map(|id| self.sinks.get(id))
                .filter(|sink| sink(event) == Verdict::Accepted)
                .count()
        })
    }
}
