//! The journal of the store: reading the history.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures::task::AtomicWaker;
use midplane_completions::{
    BackendError, BackendErrorKind, Capabilities, Cursor, Filter, Journal, JournalReader, Page,
    ReadError, Trouble,
};
use midplane_core::{Instant, Timer};
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};

use super::connect::RedisConnection;
use super::error::{failure, unexpected_answer};
use super::library::Keys;
use super::place::HistoryPlace;
use super::{RedisStore, eviction, reply};
use crate::error::ErrorContext;

/// The most records that one call looks at: the server does nothing else meanwhile.
const PAGE: usize = 1_000;

/// How often the server is asked whether it evicts keys.
const LOOK: Duration = Duration::from_secs(10);

#[async_trait]
impl Journal for RedisStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_resume().with_filter()
    }

    async fn connect(&self, filter: &Filter) -> Result<Box<dyn JournalReader>, BackendError> {
        let signal = Arc::new(ReaderSignal::default());
        let pushed = Arc::clone(&signal);
        let opened = self.shared.open(move |push| pushed.take(&push)).await?;
        let RedisConnection {
            connection,
            context,
        } = opened;
        let mut reader = RedisReader {
            connection,
            context,
            keys: self.shared.keys.clone(),
            filter: filter.clone(),
            signal,
            store: 0,
            timer: Arc::clone(&self.shared.timer),
            looked_at: None,
            trouble: None,
        };
        let channel = reader.keys.channel();
        let subscribed = reader.connection.subscribe(channel).await;
        subscribed.map_err(|error| failure(&reader.context, "subscribe", error))?;
        // Asked once the subscription stands; the call fails where nothing is installed.
        (reader.store, _) = reader.end().await?;
        Ok(Box::new(reader))
    }
}

/// What the driver's task reports to the reader.
#[derive(Debug, Default)]
struct ReaderSignal {
    woken: AtomicBool,
    dead: AtomicBool,
    waker: AtomicWaker,
}

impl ReaderSignal {
    fn take(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Message => self.woken.store(true, Ordering::Release),
            // A server ends the subscription when the permission for it is taken, or its slot moves.
            PushKind::Disconnection | PushKind::Unsubscribe | PushKind::SUnsubscribe => {
                self.dead.store(true, Ordering::Release);
            }
            _ => return,
        }
        self.waker.wake();
    }
}

struct RedisReader {
    connection: MultiplexedConnection,
    context: ErrorContext,
    keys: Keys,
    filter: Filter,
    signal: Arc<ReaderSignal>,
    /// The number that tells the store from others.
    store: u64,
    timer: Arc<dyn Timer>,
    /// When the server was last asked whether it evicts.
    looked_at: Option<Instant>,
    trouble: Option<Trouble>,
}

impl RedisReader {
    async fn end(&mut self) -> Result<(u64, HistoryPlace), BackendError> {
        let call = self.keys.look("head");
        let answer: Value = call
            .query_async(&mut self.connection)
            .await
            .map_err(|error| failure(&self.context, "tell the end of the history", error))?;
        reply::head(&answer).ok_or_else(|| unexpected_answer("head"))
    }

    fn lost(&self, why: &str) -> BackendError {
        let address = &self.context.address;
        BackendError::new(
            BackendErrorKind::Unreachable,
            format!("the subscription to completions at redis at {address} {why}"),
        )
    }

    fn check_alive(&self) -> Result<(), BackendError> {
        match self.signal.dead.load(Ordering::Acquire) {
            true => Err(self.lost("lost its connection")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl JournalReader for RedisReader {
    async fn head(&mut self) -> Result<Cursor, BackendError> {
        self.check_alive()?;
        let (store, place) = self.end().await?;
        if store != self.store {
            return Err(self.lost("found another store in the place of its own"));
        }
        Ok(place.cursor(store))
    }

    async fn read(&mut self, after: &Cursor, most: usize) -> Result<Page, ReadError> {
        self.check_alive()?;
        let place = HistoryPlace::of(after, self.store)?;
        let optional = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let mut call = self.keys.look("read");
        call.arg(place.number)
            .arg(place.sequence)
            .arg(place.check)
            .arg(optional(self.filter.namespace().map(|name| name.as_str())))
            .arg(optional(self.filter.tag().map(|tag| tag.as_str())))
            .arg(most.clamp(1, PAGE));
        self.signal.woken.store(false, Ordering::Release);
        let answer: Value = call
            .query_async(&mut self.connection)
            .await
            .map_err(|error| failure(&self.context, "read the history", error))?;
        let page = reply::read(&answer, self.store)
            .unwrap_or_else(|| Err(unexpected_answer("read").into()))?;
        let now = self.timer.now();
        if self.looked_at.is_none_or(|before| now - before >= LOOK) {
            self.looked_at = Some(now);
            self.trouble = eviction::trouble(&mut self.connection, &self.context).await;
        }
        Ok(page.with_trouble(self.trouble.clone()))
    }

    async fn wait(&mut self) -> Result<(), BackendError> {
        poll_fn(|context| {
            self.signal.waker.register(context.waker());
            if let Err(error) = self.check_alive() {
                return Poll::Ready(Err(error));
            }
            match self.signal.woken.swap(false, Ordering::AcqRel) {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        })
        .await
    }
}
