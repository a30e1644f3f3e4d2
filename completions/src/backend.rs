//! The seam a listener subscribes to: a store that streams what finished.

use alloc::boxed::Box;
use core::fmt;

use async_trait::async_trait;

use crate::cursor::Cursor;
use crate::error::SubscribeError;
use crate::filter::Filter;
use crate::stream::CompletionStream;

/// A store that streams what finished.
///
/// Each call returns a subscription of its own, which is live when the call returns: every completion
/// committed after that is yielded, in the order of the store, or a notice says that some may be missing.
/// What fails before the call returns is the call's error. Later failures are handled inside the stream,
/// which connects again after growing, random pauses, and continues until it is dropped; a stream never
/// ends by itself.
///
/// There is no way to publish here; the [crate](crate#why-nothing-here-publishes) says why.
#[async_trait]
pub trait CompletionBackend: Send + Sync + fmt::Debug + 'static {
    /// What this backend can do, the same at every call.
    fn capabilities(&self) -> Capabilities;

    /// Subscribes to everything from now on.
    ///
    /// # Errors
    /// When the store cannot be listened to. Nothing is left open.
    async fn subscribe_completions(&self) -> Result<CompletionStream, SubscribeError>;

    /// Subscribes to what the filter lets through, from now on. [`Filter::all`] costs nothing.
    ///
    /// # Errors
    /// Also [`SubscribeError::CannotFilter`] where the filter leaves anything out and the backend cannot
    /// filter: a backend never streams unfiltered instead.
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
    /// Capabilities of a backend that streams everything, from now on, and can do nothing else.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            resumes: false,
            filters: false,
        }
    }

    /// Adds a history to resume from.
    #[must_use]
    pub const fn with_resume(mut self) -> Self {
        self.resumes = true;
        self
    }

    /// Adds filtering.
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
