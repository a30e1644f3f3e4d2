//! The journal of the store: reading the history.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use async_trait::async_trait;
use midplane_completions::{
    BackendError, Capabilities, Cursor, CursorError, Entry, Filter, Journal, JournalReader, Page,
    Poison, ReadError,
};

use super::state::{StoreConnection, StoreState};
use super::{MemoryStore, SharedStore};

/// The name of the backend in its cursors.
const NAME: &str = "memory";
const VERSION: u8 = 1;

impl SharedStore {
    /// The place before the record of this number.
    pub(super) fn cursor(&self, number: u64) -> Cursor {
        Cursor::new(NAME, self.number, VERSION, &number.to_be_bytes())
    }

    /// The number of the record behind the place.
    pub(super) fn number(&self, cursor: &Cursor) -> Result<u64, CursorError> {
        let position = cursor.position(NAME, self.number, VERSION)?;
        let bytes = position.try_into().map_err(|_| CursorError::Malformed)?;
        Ok(u64::from_be_bytes(bytes))
    }
}

#[async_trait]
impl Journal for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_resume().with_filter()
    }

    async fn connect(&self, filter: &Filter) -> Result<Box<dyn JournalReader>, BackendError> {
        let connection = Arc::new(StoreConnection::default());
        self.shared.state.lock().join(Arc::clone(&connection))?;
        Ok(Box::new(MemoryReader {
            shared: Arc::clone(&self.shared),
            filter: filter.clone(),
            connection,
        }))
    }
}

struct MemoryReader {
    shared: Arc<SharedStore>,
    filter: Filter,
    connection: Arc<StoreConnection>,
}

impl MemoryReader {
    fn page(&self, state: &StoreState, from: u64, most: usize) -> Page {
        let mut entries = Vec::new();
        let mut position = from;
        for (number, recorded) in state.from(from) {
            if entries.len() >= most {
                break;
            }
            position = number + 1;
            match recorded {
                Ok(execution) => {
                    let record = state.executions.get(execution);
                    let finished = record.and_then(|record| record.finished.as_ref());
                    entries.extend(
                        finished
                            .map(|finished| &finished.completion)
                            .filter(|completion| self.filter.matches(completion))
                            .cloned()
                            .map(Entry::Completion),
                    );
                }
                Err(reason) => {
                    let place = self.shared.cursor(position);
                    entries.push(Entry::Poison(Poison::new(place, reason)));
                }
            }
        }
        let more = position < state.bounds().1;
        Page::new(entries, self.shared.cursor(position), more)
    }
}

#[async_trait]
impl JournalReader for MemoryReader {
    async fn head(&mut self) -> Result<Cursor, BackendError> {
        self.connection.check_alive()?;
        let head = self.shared.state.lock().bounds().1;
        Ok(self.shared.cursor(head))
    }

    async fn read(&mut self, after: &Cursor, most: usize) -> Result<Page, ReadError> {
        self.connection.check_alive()?;
        let from = self.shared.number(after)?;
        self.connection.woken.store(false, Ordering::Release);
        let state = self.shared.state.lock();
        let (first, head) = state.bounds();
        if from > head {
            return Err(CursorError::Malformed.into());
        }
        if from < first {
            return Err(ReadError::Expired {
                oldest: self.shared.cursor(first),
                missed: Some(first - from),
            });
        }
        Ok(self.page(&state, from, most))
    }

    async fn wait(&mut self) -> Result<(), BackendError> {
        poll_fn(|context| {
            self.connection.waker.register(context.waker());
            if let Err(error) = self.connection.check_alive() {
                return Poll::Ready(Err(error));
            }
            match self.connection.woken.swap(false, Ordering::AcqRel) {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        })
        .await
    }
}

impl Drop for MemoryReader {
    fn drop(&mut self) {
        self.shared.state.lock().leave(&self.connection);
    }
}
