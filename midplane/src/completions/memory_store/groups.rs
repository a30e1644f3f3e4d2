//! The groups of the store, each with a ledger.

use std::sync::Arc;

use async_trait::async_trait;
use midplane_completions::{
    BackendError, BackendErrorKind, ExecutionId, Group, GroupName, GroupStart, GroupStatus, Groups,
    Ledger, Timestamp,
};

use super::ledger::finished;
use super::state::StoreState;
use super::work::GroupWork;
use super::{MemoryStore, before};

#[async_trait]
impl Groups for MemoryStore {
    async fn register(&self, group: &Group) -> Result<Arc<dyn Ledger>, BackendError> {
        self.shared.state.lock().register(group);
        Ok(Arc::new(Self {
            shared: Arc::clone(&self.shared),
            group: Some(group.name.clone()),
        }))
    }

    async fn groups(&self) -> Result<Vec<GroupStatus>, BackendError> {
        let state = self.shared.state.lock();
        let status = |(name, group): (&Option<GroupName>, &GroupWork)| {
            let dead = group.dead.len();
            let unhandled = group.work.len() - dead;
            GroupStatus::new(name.clone(), group.keep).with_counts(unhandled as u64, dead as u64)
        };
        Ok(state.groups.iter().map(status).collect())
    }

    async fn remove(&self, group: Option<&GroupName>) -> Result<bool, BackendError> {
        let mut state = self.shared.state.lock();
        let Some(removed) = state.groups.remove(&group.cloned()) else {
            return Ok(false);
        };
        for execution in removed.work.keys() {
            state.forget(execution);
        }
        Ok(true)
    }
}

impl StoreState {
    fn register(&mut self, group: &Group) {
        let name = Some(group.name.clone());
        if let Some(there) = self.groups.get_mut(&name) {
            there.keep = group.keep;
            return;
        }
        let mut work = GroupWork {
            keep: group.keep,
            ..GroupWork::default()
        };
        if group.start == GroupStart::Beginning {
            for (number, recorded) in self.from(self.bounds().0) {
                let recorded = recorded.as_ref().ok();
                if let Some(finished) = recorded.and_then(|id| finished(&self.executions, id)) {
                    work.list(&finished.completion, number);
                }
            }
        }
        self.groups.insert(name, work);
    }

    /// The work of the group.
    ///
    /// # Errors
    /// When there is no such group.
    pub(super) fn group(
        &mut self,
        name: &Option<GroupName>,
    ) -> Result<&mut GroupWork, BackendError> {
        self.groups.get_mut(name).ok_or_else(|| no_group(name))
    }

    /// Gives up, for each group, what it has not handled and keeps no longer.
    pub(super) fn give_up(&mut self, now: Timestamp) {
        let mut given_up = Vec::new();
        for group in self.groups.values_mut() {
            let Some(oldest) = group.keep.map(|keep| before(now, keep)) else {
                continue;
            };
            let old = |id: &&ExecutionId| {
                finished(&self.executions, id)
                    .is_some_and(|finished| finished.completion.produced_at <= oldest)
            };
            let old: Vec<_> = group.work.keys().filter(old).cloned().collect();
            old.iter().for_each(|execution| group.unlist(execution));
            given_up.extend(old);
        }
        for execution in &given_up {
            self.forget(execution);
        }
    }
}

pub(super) fn no_group(name: &Option<GroupName>) -> BackendError {
    let message = match name {
        Some(name) => format!("the group {name} is not registered, or was removed"),
        None => "the group without a name was removed: use one that has a name".to_owned(),
    };
    BackendError::new(BackendErrorKind::NotInstalled, message)
}
