//! Completions: "this execution finished", as a stream that may fail over a record that may not.
//!
//! A workflow engine's listener subscribes to a [`CompletionBackend`] and is told what finished. The
//! stream is fast, and it may miss things: servers restart, connections die, histories are trimmed. So
//! every store also keeps a [`Ledger`] of what finished and was not handled, and a reconciler that reads
//! it makes the outcome the same with the stream working, lossy or dead.
//!
//! # Why nothing here publishes
//!
//! There is no `publish_completion`, on purpose. Were there one, a program would change its tables and then
//! publish, and between the two it can die: the execution is finished and nobody is told; or it would
//! publish and then commit, and everybody is told of what was rolled back. So a completion is written by
//! the transaction that finishes the execution, in the store that keeps both, by procedures that the
//! backend ships. A [`Producer`] calls them for programs that need no transaction of their own.
//!
//! # Map
//!
//! A [`Completion`] is what a listener gets, inside a [`CompletionStream`] of [`Item`]s; a [`Filter`]
//! chooses, a [`Cursor`] resumes. A durable backend implements [`Journal`], three calls to a history, and
//! [`Follower`] does for all of them what a stream must do about connections that die.

#![no_std]
#![warn(
    clippy::alloc_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::unwrap_used
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod contained;
mod cursor;
mod deadline;
mod dispatch;
mod error;
mod filter;
mod follow;
mod handler;
mod journal;
mod lanes;
mod ledger;
mod listener;
mod payload;
mod producer;
mod reconcile;
mod shared;
mod stream;
mod window;

use alloc::boxed::Box;
use core::fmt;

use async_trait::async_trait;

pub use cursor::{Cursor, CursorError, MAX_POSITION_BYTES};
pub use error::{BackendError, BackendErrorKind, ProduceError, SubscribeError};
pub use filter::Filter;
pub use follow::{Follower, Pace};
pub use handler::{Handled, Handler};
pub use journal::{Entry, Journal, JournalReader, Page, ReadError};
pub use ledger::{Claim, Ledger, Scan, Scanned};
pub use listener::{Counters, Drained, Listener, ListenerHandle, Settings};
pub use payload::{
    Completion, ExecutionId, FlowId, Namespace, OtherOutcome, Outcome, Tag, Timestamp,
};
pub use producer::{Change, Execution, Producer};
pub use reconcile::Report;
pub use shared::SharedStream;
pub use stream::{CompletionStream, Item, Payloads, Poison};

/// A store that tells what finished.
///
/// Each call returns a subscription of its own, which is live when the call returns: every completion
/// committed after that is yielded, in the order of the store, or a notice says that some may be missing.
/// What is wrong at that time is the call's error. What goes wrong later is the stream's own affair: it
/// connects again, with a wait that grows and is random, and goes on, until it is dropped; it never ends
/// by itself.
///
/// There is no way to publish here; the [crate](crate#why-nothing-here-publishes) says why.
#[async_trait]
pub trait CompletionBackend: Send + Sync + fmt::Debug + 'static {
    /// What this backend can do. It does not change.
    fn capabilities(&self) -> Capabilities;

    /// Subscribes to everything from now on.
    ///
    /// # Errors
    /// When the store cannot be listened to. Nothing is left open.
    async fn subscribe_completions(&self) -> Result<CompletionStream, SubscribeError>;

    /// Subscribes to what the filter lets through, from now on. [`Filter::all`] costs nothing.
    ///
    /// # Errors
    /// Also [`SubscribeError::CannotFilter`] where the filter lets not everything through and the backend
    /// cannot filter; it never streams unfiltered instead.
    async fn subscribe_completions_filtered(
        &self,
        filter: &Filter,
    ) -> Result<CompletionStream, SubscribeError>;

    /// Subscribes to what the filter lets through, strictly behind the cursor.
    ///
    /// # Errors
    /// Also [`SubscribeError::NotDurable`] where the backend keeps no history, and
    /// [`SubscribeError::Cursor`] where the cursor is foreign, malformed or expired.
    async fn subscribe_from(
        &self,
        cursor: &Cursor,
        filter: &Filter,
    ) -> Result<CompletionStream, SubscribeError>;
}

const _: fn(alloc::sync::Arc<dyn CompletionBackend>) = |_| ();

/// What a backend can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    resumes: bool,
    filters: bool,
}

impl Capabilities {
    /// A backend that streams everything, from now on, and can do nothing else.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            resumes: false,
            filters: false,
        }
    }

    /// The same, keeping a history to resume from.
    #[must_use]
    pub const fn with_resume(mut self) -> Self {
        self.resumes = true;
        self
    }

    /// The same, able to filter.
    #[must_use]
    pub const fn with_filter(mut self) -> Self {
        self.filters = true;
        self
    }

    /// Whether subscriptions can start at a cursor.
    #[must_use]
    pub const fn resumes(self) -> bool {
        self.resumes
    }

    /// Whether subscriptions can be filtered.
    #[must_use]
    pub const fn filters(self) -> bool {
        self.filters
    }
}
