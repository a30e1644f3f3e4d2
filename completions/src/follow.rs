//! The loop that turns a history into a stream: written once, for every durable backend.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::mem;
use core::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, select};
use futures::stream;

use midplane_core::{Backoff, Random, Timer};

use crate::deadline::in_time;
use crate::journal::{Entry, Journal, JournalReader, Page, ReadError};
use crate::{
    BackendError, Capabilities, CompletionBackend, CompletionStream, Cursor, CursorError, Filter,
    StreamItem, SubscribeError, Trouble,
};

/// The page size and the times of a [`Follower`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pace {
    /// The most entries in one read. 256 by default, at least 1.
    pub page: usize,
    /// The longest wait for a wake-up before the follower reads anyway, since a wake-up can be lost and a
    /// silent connection can be dead. 1 s by default.
    pub poll: Duration,
    /// How long the store has to answer before the connection counts as dead. 5 s by default.
    pub deadline: Duration,
    /// The pause between attempts to connect. 50 ms to 5 s by default.
    pub backoff: Backoff,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            page: 256,
            poll: Duration::from_secs(1),
            deadline: Duration::from_secs(5),
            backoff: Backoff::default(),
        }
    }
}

/// A [`CompletionBackend`] made of a [`Journal`] and a clock.
///
/// Each subscription is a connection and a place in the history. The subscription reads from its place to
/// the end, waits to be woken, or for [`poll`](Pace::poll) to pass, and reads on. When the connection dies
/// the subscription connects again, after a pause, as often as needed, and yields [`StreamItem::Resync`]
/// once the store has answered from the old place; until then each new reason is [`StreamItem::Trouble`]. A place that has expired meanwhile is given up for the
/// oldest that is kept, with [`StreamItem::Lagged`] where the backend can tell how many records were
/// missed and [`StreamItem::Resync`] where it cannot.
#[derive(Clone)]
pub struct Follower {
    journal: Arc<dyn Journal>,
    timer: Arc<dyn Timer>,
    pace: Pace,
}

impl Follower {
    /// A follower of this journal by this clock, at the default pace.
    #[must_use]
    pub fn new(journal: Arc<dyn Journal>, timer: Arc<dyn Timer>) -> Self {
        Self {
            journal,
            timer,
            pace: Pace::default(),
        }
    }

    /// Replaces the [default](Pace::default) pace.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    async fn subscribe(
        &self,
        filter: &Filter,
        from: Option<&Cursor>,
    ) -> Result<CompletionStream, SubscribeError> {
        let capabilities = self.journal.capabilities();
        if !filter.is_all() && !capabilities.filters() {
            return Err(SubscribeError::CannotFilter);
        }
        if from.is_some() && !capabilities.resumes() {
            return Err(SubscribeError::NotDurable);
        }
        let mut reader = self.in_time(self.journal.connect(filter)).await?;
        let mut ready = VecDeque::new();
        let mut behind = false;
        let mut unfit = None;
        let place = match from {
            None => self.in_time(reader.head()).await?,
            // A bad cursor is found here, while the caller can still be given an error.
            Some(cursor) => match self.in_time(reader.read(cursor, self.pace.page)).await {
                Ok(page) => take(page, &mut ready, &mut behind, &mut unfit),
                Err(ReadError::Expired { .. }) => return Err(CursorError::Expired.into()),
                Err(ReadError::Cursor(error)) => return Err(error.into()),
                Err(ReadError::Backend(error)) => return Err(error.into()),
            },
        };
        let tail = Tail {
            follower: self.clone(),
            filter: filter.clone(),
            reader: Some(reader),
            place,
            ready,
            // A commit since the head was asked may have woken nobody yet.
            behind: behind || from.is_none(),
            failures: 0,
            failure: None,
            unfit,
            random: Random::from_clock(&*self.timer),
        };
        Ok(CompletionStream::new(stream::unfold(
            tail,
            |mut tail| async move {
                let item = tail.next().await;
                Some((item, tail))
            },
        )))
    }

    async fn in_time<T, E: From<BackendError>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        in_time(&*self.timer, self.pace.deadline, answer).await
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("journal", &self.journal)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl CompletionBackend for Follower {
    fn capabilities(&self) -> Capabilities {
        self.journal.capabilities()
    }

    async fn subscribe_completions(&self) -> Result<CompletionStream, SubscribeError> {
        self.subscribe(&Filter::all(), None).await
    }

    async fn subscribe_completions_filtered(
        &self,
        filter: &Filter,
    ) -> Result<CompletionStream, SubscribeError> {
        self.subscribe(filter, None).await
    }

    async fn subscribe_from(
        &self,
        cursor: &Cursor,
        filter: &Filter,
    ) -> Result<CompletionStream, SubscribeError> {
        self.subscribe(filter, Some(cursor)).await
    }
}

/// One subscription.
struct Tail {
    follower: Follower,
    filter: Filter,
    /// `None` while there is no connection.
    reader: Option<Box<dyn JournalReader>>,
    /// The end of what was read.
    place: Cursor,
    /// What was read and not yet yielded.
    ready: VecDeque<StreamItem>,
    /// More can be read without waiting to be woken.
    behind: bool,
    /// Attempts in a row that ended before the store answered a read.
    failures: u32,
    /// Why the last of them failed, as it was said.
    failure: Option<Trouble>,
    /// What is wrong with the store, as it was said.
    unfit: Option<Trouble>,
    random: Random,
}

impl Tail {
    async fn next(&mut self) -> StreamItem {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return item;
            }
            let moved = match self.reader.take() {
                Some(reader) => self.read_on(reader).await,
                None => self.reconnect().await,
            };
            match moved {
                Ok(reader) => {
                    self.failures = 0;
                    self.failure = None;
                    self.reader = Some(reader);
                }
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    let why = Some(Trouble::from(&error));
                    if why != self.failure {
                        self.ready.extend(why.clone().map(StreamItem::Trouble));
                        self.failure = why;
                    }
                }
            }
        }
    }

    /// Waits for something to read, and reads it.
    async fn read_on(
        &mut self,
        mut reader: Box<dyn JournalReader>,
    ) -> Result<Box<dyn JournalReader>, BackendError> {
        if !mem::take(&mut self.behind) {
            let poll = self.follower.timer.sleep(self.follower.pace.poll);
            if let Either::Left((woken, _)) = select(reader.wait(), poll).await {
                woken?;
            }
        }
        self.read(reader).await
    }

    /// Connects again, and reads from the old place: the subscription is live once the store has answered.
    async fn reconnect(&mut self) -> Result<Box<dyn JournalReader>, BackendError> {
        let Follower {
            journal,
            timer,
            pace,
        } = self.follower.clone();
        let failures = self.failures.saturating_sub(1);
        timer
            .sleep(pace.backoff.wait(failures, &mut self.random))
            .await;
        let connecting = journal.connect(&self.filter);
        let reader = self.follower.in_time(connecting).await?;
        self.ready.push_back(StreamItem::Resync);
        match self.read(reader).await {
            Ok(reader) => Ok(reader),
            Err(error) => {
                self.ready.clear();
                Err(error)
            }
        }
    }

    /// Reads a page behind the place.
    async fn read(
        &mut self,
        mut reader: Box<dyn JournalReader>,
    ) -> Result<Box<dyn JournalReader>, BackendError> {
        let reading = reader.read(&self.place, self.follower.pace.page.max(1));
        match self.follower.in_time(reading).await {
            Ok(page) => {
                self.place = take(page, &mut self.ready, &mut self.behind, &mut self.unfit);
            }
            Err(ReadError::Backend(error)) => return Err(error),
            Err(ReadError::Expired { oldest, missed }) => {
                self.place = oldest;
                self.behind = true;
                self.ready
                    .push_back(missed.map_or(StreamItem::Resync, StreamItem::Lagged));
            }
            // Another store answers under this address: there is nothing to resume.
            Err(ReadError::Cursor(_)) => {
                self.place = self.follower.in_time(reader.head()).await?;
                self.behind = true;
                self.ready.push_back(StreamItem::Resync);
            }
        }
        Ok(reader)
    }
}

/// Queues the entries of a page, and gives the place where the page ends.
fn take(
    page: Page,
    ready: &mut VecDeque<StreamItem>,
    behind: &mut bool,
    unfit: &mut Option<Trouble>,
) -> Cursor {
    if page.trouble != *unfit {
        ready.extend(page.trouble.clone().map(StreamItem::Trouble));
        *unfit = page.trouble;
    }
    ready.extend(page.entries.into_iter().map(|entry| match entry {
        Entry::Completion(completion) => StreamItem::Completion(completion),
        Entry::Poison(poison) => StreamItem::Poison(poison),
    }));
    *behind = page.more;
    page.position
}
