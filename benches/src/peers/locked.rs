//! The first thing that an engineer writes: maps behind one lock, sinks called under it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use midplane::{Audience, ConnectionId, Event, Target, Verdict};

use super::{Closure, MeasuredPlane, target};

/// One [`RwLock`] over maps of strings.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "closures have none")]
pub struct Locked {
    maps: RwLock<Maps>,
    last: Option<String>,
}

#[derive(Default)]
struct Maps {
    sinks: HashMap<String, Closure>,
    members: HashMap<Target, HashSet<String>>,
    joined: HashMap<String, HashSet<Target>>,
}

impl Maps {
    fn remove_member(&mut self, id: &str, target: &Target) {
        if let Some(members) = self.members.get_mut(target) {
            members.remove(id);
            if members.is_empty() {
                self.members.remove(target);
            }
        }
    }
}

impl Locked {
    /// Joins a connection to a target.
    pub fn join(&self, id: &str, target: &Target) {
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        let members = maps.members.entry(target.clone()).or_default();
        members.insert(id.to_owned());
        let joined = maps.joined.entry(id.to_owned()).or_default();
        joined.insert(target.clone());
    }

    /// Takes a connection out of a target.
    pub fn leave(&self, id: &str, target: &Target) {
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        maps.remove_member(id, target);
        if let Some(joined) = maps.joined.get_mut(id) {
            joined.remove(target);
        }
    }
}

impl MeasuredPlane for Locked {
    const NAME: &'static str = "one RwLock, sinks called under it";

    fn empty() -> Self {
        Self::default()
    }

    fn attach(
        &mut self,
        id: &ConnectionId,
        sink: impl Fn(&Event) -> Verdict + Send + Sync + 'static,
    ) {
        let name = id.as_str().to_owned();
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        maps.sinks.insert(name.clone(), Arc::new(sink));
        drop(maps);
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
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        for target in maps.joined.remove(&id).unwrap_or_default() {
            maps.remove_member(&id, &target);
        }
        maps.sinks.remove(&id);
    }

    fn publish(&self, audience: &Audience, event: &Event) -> usize {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        let members = target(audience).and_then(|target| maps.members.get(target));
        members.map_or(0, |members| {
            members
                .iter()
                .filter_map(|id| maps.sinks.get(id))
                .filter(|sink| sink(event) == Verdict::Accepted)
                .count()
        })
    }
}
