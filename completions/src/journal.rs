//! The seam that durable backends implement: a history that can be read from any place.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use async_trait::async_trait;

use super::{BackendError, Capabilities, Completion, Cursor, CursorError, Filter, Poison};

/// A store's history of completions, deliberately dumb: it is connected to, read and waited on.
///
/// A journal does not retry, back off, poll, set deadlines or resume: [`Follower`](super::Follower) does,
/// and makes a [`CompletionBackend`](super::CompletionBackend) of it. It drops the futures here when their
/// time is over; a dropped future must leave nothing running.
#[async_trait]
pub trait Journal: Send + Sync + fmt::Debug + 'static {
    /// What the backend can do. It does not change.
    fn capabilities(&self) -> Capabilities;

    /// Opens a connection: one attempt, from scratch, that is woken by everything committed after this
    /// returns. Credentials are read anew each time. It is never asked for a filter that the capabilities
    /// deny.
    ///
    /// # Errors
    /// When the store cannot be reached, does not let us in, or is not installed. Nothing is left open.
    async fn connect(&self, filter: &Filter) -> Result<Box<dyn JournalReader>, BackendError>;
}

/// One connection to a journal. Dropping it closes it, without waiting. After a [`BackendError`] it is
/// dead.
#[async_trait]
pub trait JournalReader: Send {
    /// The end of the history: all that is committed after this was asked comes behind it. Where
    /// transactions are under way, some of what was committed before may come behind it too.
    ///
    /// # Errors
    /// When the connection is dead.
    async fn head(&mut self) -> Result<Cursor, BackendError>;

    /// What the filter lets through, strictly behind the place, in the order of the history: up to about
    /// `most` entries. It does not wait for more. What commits late must come behind every place that was
    /// given out before it committed.
    ///
    /// # Errors
    /// [`ReadError::Cursor`] and [`ReadError::Expired`] leave the connection alive.
    async fn read(&mut self, after: &Cursor, most: usize) -> Result<Page, ReadError>;

    /// Resolves when something may have been committed since the last `read` was asked, also if that was
    /// before this call; it may resolve for no reason. Dropping it loses no wake-up.
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
    /// What is in it, in order.
    pub entries: Vec<Entry>,
    /// Where it ends: behind its last entry, and behind what the filter left out.
    pub position: Cursor,
    /// Whether there is more behind it already.
    pub more: bool,
}

impl Page {
    /// A stretch with these entries that ends here.
    #[must_use]
    pub const fn new(entries: Vec<Entry>, position: Cursor, more: bool) -> Self {
        Self {
            entries,
            position,
            more,
        }
    }
}

/// One record of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A completion, with its cursor.
    Completion(Completion),
    /// A record that is none.
    Poison(Poison),
}

/// Why there is no page.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The connection is dead.
    Backend(BackendError),
    /// The place is not one of this journal.
    Cursor(CursorError),
    /// The history behind the place is no longer kept in full.
    Expired {
        /// The place just before the oldest record that is kept.
        oldest: Cursor,
        /// How many records were between the two, where that is known.
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
