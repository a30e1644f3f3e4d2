//! The seam behind consumer groups: several ledgers of one store.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use async_trait::async_trait;
use midplane_core::id;

use crate::{BackendError, Ledger};

id! {
    /// The name of a group of listeners that share the work on all completions of a store.
    GroupName
}

/// The consumer groups of a store. Each group handles every completion once, whatever other groups do.
///
/// The store itself, used as a [`Ledger`], is the group without a name, which is there from the beginning. A program that
/// needs all completions for a purpose of its own registers a group and gives the group's ledger to its
/// [`Listener`](crate::Listener), with the backend of the store. Leases, failures, pauses, dead letters, flows and the turns
/// of namespaces are of one group: no group waits for another.
///
/// # Retention
///
/// An execution is kept until its record is out of the history and every group has handled it. What a group has not handled,
/// dead letters included, is given up for that group when the store is pruned and the execution finished longer ago than the
/// group's [`keep`](Group::keep). So a group without a `keep` whose listeners are gone keeps everything that finishes, until
/// it is [removed](Self::remove). That holds for the group without a name, too: remove it where only named groups listen.
#[async_trait]
pub trait Groups: Send + Sync + fmt::Debug + 'static {
    /// Registers the group if there is none of this name, and gives its ledger. A group that is there keeps its place and all
    /// that it has handled; its [`keep`](Group::keep) becomes this one. Every program of the group registers it when it starts.
    ///
    /// # Errors
    /// When the store does not answer: the group may be registered, and registering again is safe. When the store cannot
    /// take the name.
    async fn register(&self, group: &Group) -> Result<Arc<dyn Ledger>, BackendError>;

    /// Every group, in the order of the names, the one without a name first. Its executions are counted, which takes the
    /// longer the more there are: this is for operators, not for each look.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn groups(&self) -> Result<Vec<GroupStatus>, BackendError>;

    /// Removes a group with all that it has not handled, which keeps nothing any more, and says whether there was one. Its
    /// ledgers fail with [`NotInstalled`](crate::BackendErrorKind::NotInstalled) from then on. A named group can be
    /// registered again, and begins anew; `None` is the group without a name, which is removed for good.
    ///
    /// # Errors
    /// When the store does not answer. Asking again is safe.
    async fn remove(&self, group: Option<&GroupName>) -> Result<bool, BackendError>;
}

const _: fn(&dyn Groups) = |_| ();

/// Which group to register.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// The name.
    pub name: GroupName,
    /// What the group begins with, if it is new.
    pub start: GroupStart,
    /// How long an execution that the group has not handled is kept for it after it finished; `None` for ever.
    pub keep: Option<Duration>,
}

impl Group {
    /// A group of this name that begins [now](GroupStart::Now) and keeps what it has not handled for ever.
    #[must_use]
    pub const fn new(name: GroupName) -> Self {
        Self {
            name,
            start: GroupStart::Now,
            keep: None,
        }
    }

    /// Begins here if the group is new.
    #[must_use]
    pub const fn starting(mut self, start: GroupStart) -> Self {
        self.start = start;
        self
    }

    /// Gives up what the group has not handled this long after it finished.
    #[must_use]
    pub const fn with_keep(mut self, keep: Duration) -> Self {
        self.keep = Some(keep);
        self
    }
}

/// What a new group begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupStart {
    /// The completions that are in the history when the group is registered, and all later ones.
    Beginning,
    /// What is committed after the group was registered. Completions that are committed while it is being registered may
    /// be among it.
    #[default]
    Now,
}

/// How far a group is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupStatus {
    /// The name; `None` for the group without one.
    pub name: Option<GroupName>,
    /// How long an execution that the group has not handled is kept for it; `None` for ever.
    pub keep: Option<Duration>,
    /// Executions that finished and that the group has not handled, claimed or not, without its dead letters.
    pub unhandled: u64,
    /// Dead letters of the group.
    pub dead: u64,
}

impl GroupStatus {
    /// A group of this name that has nothing to handle.
    #[must_use]
    pub const fn new(name: Option<GroupName>, keep: Option<Duration>) -> Self {
        Self {
            name,
            keep,
            unhandled: 0,
            dead: 0,
        }
    }

    /// Sets how many executions are not handled, and how many are dead letters.
    #[must_use]
    pub const fn with_counts(mut self, unhandled: u64, dead: u64) -> Self {
        self.unhandled = unhandled;
        self.dead = dead;
        self
    }
}
