//! Reading the history.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use futures::task::AtomicWaker;
use midplane_completions::{
    BackendError, BackendErrorKind, Capabilities, Cursor, Filter, Journal, JournalReader, Page,
    ReadError,
};
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};

use super::RedisStore;
use super::library::Keys;
use super::link::{failure, nonsense, open};
use super::place::Place;
use super::reply;
use crate::error::ErrorContext;

/// The most records that one call looks at: the server does nothing else meanwhile.
const PAGE: usize = 1_000;

#[async_trait]
impl Journal for RedisStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_resume().with_filter()
    }

    async fn connect(&self, filter: &Filter) -> Result<Box<dyn JournalReader>, BackendError> {
        let signal = Arc::new(Signal::default());
        let pushed = Arc::clone(&signal);
        let (connection, context) = open(&self.shared.redis, &self.shared.keys, move |push| {
            pushed.take(&push);
        })
        .await?;
        let mut reader = Reader {
            connection,
            context,
            keys: self.shared.keys.clone(),
            filter: filter.clone(),
            signal,
            store: 0,
        };
        let channel = reader.keys.channel();
        let subscribed = reader.connection.subscribe(channel).await;
        subscribed.map_err(|error| failure(&reader.context, "subscribe", error))?;
        // Asked once we are subscribed; it fails where nothing is installed.
        (reader.store, _) = reader.end().await?;
        Ok(Box::new(reader))
    }
}

/// What the driver's task tells the reader.
#[derive(Debug, Default)]
struct Signal {
    woken: AtomicBool,
    dead: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
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

struct Reader {
    connection: MultiplexedConnection,
    context: ErrorContext,
    keys: Keys,
    filter: Filter,
    signal: Arc<Signal>,
    /// What tells the store from others.
    store: u64,
}

impl Reader {
    async fn end(&mut self) -> Result<(u64, Place), BackendError> {
        let call = self.keys.look("head");
        let answer: Value = call
            .query_async(&mut self.connection)
            .await
            .map_err(|error| failure(&self.context, "tell the end of the history", error))?;
        reply::head(&answer).ok_or_else(|| nonsense("head"))
    }

    fn over(&self, why: &str) -> BackendError {
        let address = &self.context.address;
        BackendError::new(
            BackendErrorKind::Unreachable,
            format!("the subscription to completions at redis at {address} {why}"),
        )
    }

    fn alive(&self) -> Result<(), BackendError> {
        match self.signal.dead.load(Ordering::Acquire) {
            true => Err(self.over("lost its connection")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl JournalReader for Reader {
    async fn head(&mut self) -> Result<Cursor, BackendError> {
        self.alive()?;
        let (store, place) = self.end().await?;
        if store != self.store {
            return Err(self.over("found another store in the place of its own"));
        }
        Ok(place.cursor(store))
    }

    async fn read(&mut self, after: &Cursor, most: usize) -> Result<Page, ReadError> {
        self.alive()?;
        let place = Place::of(after, self.store)?;
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
        reply::read(&answer, self.store).unwrap_or_else(|| Err(nonsense("read").into()))
    }

    async fn wait(&mut self) -> Result<(), BackendError> {
        poll_fn(|context| {
            self.signal.waker.register(context.waker());
            if let Err(error) = self.alive() {
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
