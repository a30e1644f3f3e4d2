//! The seam that durable backends implement: a history that can be read from any place.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use async_trait::async_trait;

use crate::{BackendError, Capabilities, Completion, Cursor, CursorError, Filter, Poison, Trouble};

/// A store's history of completions, deliberately simple: a caller connects, reads and waits.
///
/// A journal does not retry, back off, poll, set deadlines or resume: [`Follower`](crate::Follower) does,
/// and makes a [`CompletionBackend`](crate::CompletionBackend) of a journal. The follower drops a future
/// of a journal at its deadline; a dropped future must leave nothing running.
#[async_trait]
pub trait Journal: Send + Sync + fmt::Debug + 'static {
    /// What the backend can do, the same at every call.
    fn capabilities(&self) -> Capabilities;

    /// Opens a connection, in one attempt. Everything committed after the call returns wakes the reader.
    /// Credentials are read anew each time. The filter is never one that the capabilities deny.
    ///
    /// # Errors
    /// When the store cannot be reached, refuses the credentials, or is not installed. Nothing is left open.
    async fn connect(&self, filter: &Filter) -> Result<Box<dyn JournalReader>, BackendError>;
}

/// One connection to a journal. Dropping the reader closes the connection, without waiting. After a
/// [`BackendError`] the connection is dead.
#[async_trait]
pub trait JournalReader: Send {
    /// The end of the history: everything committed after the call began comes behind it. Where
    /// transactions are under way, some of what was committed before may come behind it too.
    ///
    /// # Errors
    /// When the connection is dead.
    async fn head(&mut self) -> Result<Cursor, BackendError>;

    /// What the filter lets through, strictly behind the place, in the order of the history: up to about
    /// `most` entries, without waiting for more. A completion that commits late must come behind every
    /// place that was given out before it committed.
    ///
    /// # Errors
    /// [`ReadError::Cursor`] and [`ReadError::Expired`] leave the connection alive.
    async fn read(&mut self, after: &Cursor, most: usize) -> Result<Page, ReadError>;

    /// Resolves when something may have been committed since the last `read` began, also if that was before
    /// this call; spurious wake-ups are allowed. Dropping the future loses no wake-up.
    ///
    /// # Errors
    /// When the connection is dead.
    async fn wait(&mut self) -> Result<(), BackendError>;
}

const _: fn(&dyn Journal, &dyn JournalReader) = |_, _| ();

/// A stretch of history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// The end of the page: behind its last entry, and behind what the filter left out.
    pub position: Cursor,
    /// Whether the history already has more behind the page.
    pub more: bool,
    /// What is wrong with the store, as long as it is: each new text is said once.
    pub trouble: Option<Trouble>,
}

impl Page {
    /// A page with these entries that ends at this position.
    #[must_use]
    pub const fn new(entries: Vec<Entry>, position: Cursor, more: bool) -> Self {
        Self {
            entries,
            position,
            more,
            trouble: None,
        }
    }

    /// Says what is wrong with the store.
    #[must_use]
    pub fn with_trouble(mut self, trouble: Option<Trouble>) -> Self {
        self.trouble = trouble;
        self
    }
}

/// One record of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A completion, with its cursor.
    Completion(Completion),
    /// A record that is no completion.
    Poison(Poison),
}

/// Why a read gave no page.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The connection is dead.
    Backend(BackendError),
    /// The place does not belong to this journal.
    Cursor(CursorError),
    /// The history behind the place is no longer kept in full.
    Expired {
        /// The place just before the oldest record that is kept.
        oldest: Cursor,
        /// How many records were dropped between the two places, where that is known.
        missed: Option<u64>,
    },
}

impl From<BackendError> for ReadError {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<CursorError> for ReadError {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}
