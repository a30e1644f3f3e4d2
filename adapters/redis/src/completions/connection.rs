//! The connection that producers and the ledger share.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::Future;
use futures::lock::Mutex;
use midplane_completions::{BackendError, BackendErrorKind};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, PushInfo, Value};

use super::connect::{RedisConnection, RedisPushes};
use super::error::{failure, is_missing, unexpected_answer};
use super::library::micros;
use super::{Pruned, Retention, SharedStore, eviction, library, reply};
use crate::error::ErrorContext;

/// The most records that one call forgets: the server does nothing else meanwhile.
const BATCH: u64 = 1_000;

/// The connection that producers and the ledger share, opened when it is needed.
#[derive(Default)]
pub(super) struct SharedConnection {
    current: Mutex<CurrentConnection>,
    /// The number of the store that was connected last.
    store: AtomicU64,
}

impl SharedConnection {
    pub(super) fn store(&self) -> u64 {
        self.store.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct CurrentConnection {
    /// How many connections were opened, so that one that failed is told from its successor.
    count: u64,
    open: Option<(MultiplexedConnection, ErrorContext)>,
}

/// Why a call was not answered with what it asked for.
pub(super) enum CallError {
    /// A function refused, with this code and this text, and changed nothing.
    Refused(String, String),
    Backend(BackendError),
}

impl From<BackendError> for CallError {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<CallError> for BackendError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Backend(error) => error,
            CallError::Refused(code, text) => {
                Self::new(BackendErrorKind::Protocol, format!("{code} {text}"))
            }
        }
    }
}

impl SharedStore {
    /// Opens a connection to the server that the keys are on, and gives its pushes to `take`.
    pub(super) async fn open(
        &self,
        take: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<RedisConnection, BackendError> {
        let pushes = RedisPushes::new(take);
        self.connect.connect(self.keys.channel(), pushes).await
    }

    /// The answer of the server to the call, which is made a second time where the connection, or the store
    /// on it, turns out to be gone.
    pub(super) async fn call(&self, what: &str, call: &Cmd) -> Result<Value, CallError> {
        let mut tried = None;
        loop {
            let (mut connection, context, count) = self.open_connection(tried).await?;
            let answer = self.in_time(async { Ok(call.query_async(&mut connection).await) });
            let error = match answer.await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => match error.code() {
                    Some(
                        code @ (library::UNKNOWN
                        | library::ILLEGAL
                        | library::UNFIT
                        | library::POISON),
                    ) => {
                        let text = error.detail().unwrap_or_default();
                        return Err(CallError::Refused(code.to_owned(), text.to_owned()));
                    }
                    // A new connection would find no group either.
                    Some(library::UNKNOWN_GROUP) => {
                        return Err(failure(&context, what, error).into());
                    }
                    _ => failure(&context, what, error),
                },
                Err(error) => error,
            };
            if tried.is_some() {
                self.drop_connection(count).await;
                return Err(error.into());
            }
            tried = Some(count);
        }
    }

    /// The shared connection, or a new one if the shared one is the one that failed.
    async fn open_connection(
        &self,
        failed: Option<u64>,
    ) -> Result<(MultiplexedConnection, ErrorContext, u64), BackendError> {
        let mut current = self.connection.current.lock().await;
        if failed == Some(current.count) {
            current.open = None;
        }
        let (connection, context) = match &current.open {
            Some(open) => open.clone(),
            None => {
                let open = self.in_time(self.connect_installed()).await?;
                current.count += 1;
                current.open = Some(open.clone());
                open
            }
        };
        Ok((connection, context, current.count))
    }

    async fn drop_connection(&self, count: u64) {
        let mut current = self.connection.current.lock().await;
        if current.count == count {
            current.open = None;
        }
    }

    /// A connection to a store that is installed.
    async fn connect_installed(
        &self,
    ) -> Result<(MultiplexedConnection, ErrorContext), BackendError> {
        let RedisConnection {
            mut connection,
            context,
        } = self.open(|_| {}).await?;
        let (records, age) = match self.retention {
            None => Default::default(),
            Some(Retention::Records(records)) => (records.to_string(), String::new()),
            Some(Retention::Age(age)) => (String::new(), micros(age).to_string()),
        };
        let mut install = self.keys.call("install");
        install
            .arg(format!("{:x}", RandomState::new().build_hasher().finish()))
            .arg(records)
            .arg(age);
        let failed = |error| failure(&context, "install the store of completions", error);
        let answer = match install.query_async(&mut connection).await {
            Err(error) if is_missing(&error) => {
                let mut load = redis::cmd("FUNCTION");
                load.arg("LOAD").arg("REPLACE").arg(library::SOURCE);
                let loaded = load.query_async::<Value>(&mut connection).await;
                loaded.map_err(failed)?;
                install.query_async::<Value>(&mut connection).await
            }
            answer => answer,
        };
        let answer = answer.map_err(failed)?;
        let store = reply::store(&answer).ok_or_else(|| unexpected_answer("install"))?;
        self.connection.store.store(store, Ordering::Relaxed);
        Ok((connection, context))
    }

    pub(super) async fn install(&self) -> Result<(), BackendError> {
        let mut connected = self.in_time(self.connect_installed()).await?;
        if let Some(trouble) = eviction::trouble(&mut connected.0, &connected.1).await {
            return Err(BackendError::new(trouble.kind, trouble.text));
        }
        let mut current = self.connection.current.lock().await;
        current.count += 1;
        current.open = Some(connected);
        Ok(())
    }

    /// Has the functions forget all but this many records of the history, batch by batch, and counts that.
    pub(super) async fn trim(&self, keep: u64) -> Result<u64, BackendError> {
        let mut forgotten = 0;
        loop {
            let mut call = self.keys.call("trim");
            call.arg(keep).arg(BATCH);
            let answer = self.call("trim the history", &call).await?;
            let number = reply::number(&answer).ok_or_else(|| unexpected_answer("trim"))?;
            forgotten += number;
            if number < BATCH {
                return Ok(forgotten);
            }
        }
    }

    /// Has the functions forget what is older than this, batch by batch, and counts that.
    pub(super) async fn prune(&self, age: Duration) -> Result<Pruned, BackendError> {
        let mut pruned = Pruned::default();
        loop {
            let mut call = self.keys.call("prune");
            call.arg(micros(age)).arg(BATCH);
            let answer = self.call("prune the history", &call).await?;
            let (records, given_up, more) =
                reply::counts(&answer).ok_or_else(|| unexpected_answer("prune"))?;
            pruned.records += records;
            pruned.given_up += given_up;
            if !more {
                return Ok(pruned);
            }
        }
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let answer = self.timer.within(self.deadline, answer).await;
        answer.unwrap_or_else(|| {
            let message = format!("redis did not answer within {:?}", self.deadline);
            Err(BackendError::new(BackendErrorKind::Unreachable, message))
        })
    }
}
