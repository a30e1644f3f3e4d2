//! The groups of the store, each with a ledger.

use std::sync::Arc;

use async_trait::async_trait;
use midplane_completions::{
    BackendError, Group, GroupName, GroupStart, GroupStatus, Groups, Ledger,
};

use super::error::unexpected_answer;
use super::library::micros;
use super::{RedisStore, SharedStore, reply};

/// The most records of the history that one call counts: the server does nothing else meanwhile.
const COUNTED_AT_ONCE: usize = 10_000;

#[async_trait]
impl Groups for RedisStore {
    async fn register(&self, group: &Group) -> Result<Arc<dyn Ledger>, BackendError> {
        let mut call = self.shared.keys.call("register");
        call.arg(group.name.as_str())
            .arg(match group.start {
                GroupStart::Beginning => "beginning",
                _ => "now",
            })
            .arg(
                group
                    .keep
                    .map_or(String::new(), |keep| micros(keep).to_string()),
            );
        loop {
            let answer = self.shared.call("register a group", &call).await?;
            match reply::number(&answer) {
                Some(1) => {
                    return Ok(Arc::new(Self {
                        shared: Arc::clone(&self.shared),
                        group: Some(self.shared.keys.of_group(&group.name)),
                    }));
                }
                // A group of this name was removed, and its work is not yet gone.
                Some(0) => {}
                _ => return Err(unexpected_answer("register")),
            }
        }
    }

    async fn groups(&self) -> Result<Vec<GroupStatus>, BackendError> {
        let call = self.shared.keys.look("groups");
        let answer = self.shared.call("list groups", &call).await?;
        let found = reply::groups(&answer).ok_or_else(|| unexpected_answer("groups"))?;
        let mut statuses = Vec::with_capacity(found.len());
        for group in found {
            let behind = self.shared.count_behind(group.position).await?;
            let status = GroupStatus::new(group.name, group.keep);
            statuses.push(status.with_counts(group.unhandled + behind, group.dead));
        }
        statuses.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(statuses)
    }

    async fn remove(&self, group: Option<&GroupName>) -> Result<bool, BackendError> {
        let mut call = self.shared.keys.call("remove");
        call.arg(group.map_or("", |name| name.as_str()));
        loop {
            let answer = self.shared.call("remove a group", &call).await?;
            match reply::number(&answer) {
                Some(0) => {}
                Some(1) => return Ok(true),
                Some(2) => return Ok(false),
                _ => return Err(unexpected_answer("remove")),
            }
        }
    }
}

impl SharedStore {
    /// How many executions finished behind this position in the history.
    async fn count_behind(&self, mut position: u64) -> Result<u64, BackendError> {
        let mut count = 0;
        loop {
            let mut call = self.keys.look("count");
            call.arg(position).arg(COUNTED_AT_ONCE);
            let answer = self
                .call("count what a group has not handled", &call)
                .await?;
            let (counted, upto, more) =
                reply::counts(&answer).ok_or_else(|| unexpected_answer("count"))?;
            count += counted;
            if !more {
                return Ok(count);
            }
            position = upto;
        }
    }
}
