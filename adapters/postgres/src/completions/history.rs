//! The journal of the store: reading the history.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, select};
use midplane_completions::{
    BackendError, BackendErrorKind, Capabilities, Cursor, CursorError, Entry, Filter, Journal,
    JournalReader, Page, Poison, ReadError,
};
use midplane_core::{Instant, Timer};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::PostgresStore;
use super::connection::StoreConnection;
use super::place::HistoryPlace;
use super::row;
use super::schema::Schema;
use crate::error::ConnectionError;

/// The least time between two reads of a reader that is woken: under load, what is committed meanwhile makes one
/// page. A reader that was idle reads at once.
const GATHER: Duration = Duration::from_millis(5);

/// The longest wait between two reads while a commit is under way that may wake nobody: a commit takes some
/// milliseconds, but a program may hold a number for hours.
const HELD_MOST: Duration = Duration::from_millis(500);

#[async_trait]
impl Journal for PostgresStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_resume().with_filter()
    }

    async fn connect(&self, filter: &Filter) -> Result<Box<dyn JournalReader>, BackendError> {
        let mut connection = StoreConnection::open(&*self.connect).await?;
        let (store, channel) = self.installed(&mut connection).await?;
        connection.run(&format!("LISTEN \"{channel}\"")).await?;
        Ok(Box::new(PostgresReader {
            connection,
            store,
            namespace: wanted(filter.namespace().map(AsRef::as_ref)),
            tag: wanted(filter.tag().map(AsRef::as_ref)),
            statement: self
                .schema
                .place("SELECT * FROM \"midplane\".read($1, $2, $3, $4, $5)"),
            head: self
                .schema
                .place("SELECT number, check_value FROM \"midplane\".head()"),
            timer: Arc::clone(&self.timer),
            read_at: None,
            held: None,
        }))
    }
}

impl PostgresStore {
    /// The number of the store, and the channel that wakes its subscriptions.
    async fn installed(
        &self,
        connection: &mut StoreConnection,
    ) -> Result<(i64, String), BackendError> {
        let statement = self.schema.place(
            "SELECT (SELECT max(version) FROM \"midplane\".migrations), store.id, \
             \"midplane\".channel() FROM \"midplane\".store",
        );
        let missing = || {
            let message = format!(
                "the schema {:?} has no completions of this version: call PostgresStore::migrate",
                self.schema.name()
            );
            BackendError::new(BackendErrorKind::NotInstalled, message)
        };
        let rows = connection.query(&statement, &[]).await.map_err(|error| {
            let error = BackendError::from(ConnectionError::from(error));
            match error.kind() {
                BackendErrorKind::NotInstalled => missing().caused_by(error),
                _ => error,
            }
        })?;
        let row = rows.first().ok_or_else(missing)?;
        match row.get::<_, Option<i32>>(0) {
            Some(version) if version >= Schema::version() => Ok((row.get(1), row.get(2))),
            _ => Err(missing()),
        }
    }
}

/// The value that a column must have. A text with a NUL cannot be in Postgres, nor be sent there; the empty text is in no
/// column either.
fn wanted(text: Option<&str>) -> Option<String> {
    text.map(|text| match text.contains('\0') {
        true => String::new(),
        false => text.to_owned(),
    })
}

/// The place in these columns, which are null where there is none.
fn place(row: &Row, number: &str, check: &str) -> Option<HistoryPlace> {
    let number = row.get::<_, Option<i64>>(number)?;
    let check = row.get(check);
    Some(HistoryPlace { number, check })
}

fn emptied() -> BackendError {
    BackendError::new(
        BackendErrorKind::NotInstalled,
        "the store table is empty: was the schema dropped while connected?",
    )
}

struct PostgresReader {
    connection: StoreConnection,
    store: i64,
    namespace: Option<String>,
    tag: Option<String>,
    statement: String,
    head: String,
    timer: Arc<dyn Timer>,
    /// When the last read was asked.
    read_at: Option<Instant>,
    /// The wait until the next read while commits are under way that may wake nobody.
    held: Option<Duration>,
}

#[async_trait]
impl JournalReader for PostgresReader {
    async fn head(&mut self) -> Result<Cursor, BackendError> {
        let rows = self
            .connection
            .query(&self.head, &[])
            .await
            .map_err(ConnectionError::from)?;
        match rows.first().map(|row| (row.get(0), row.get(1))) {
            Some((Some(number), check @ Some(_))) => {
                Ok(HistoryPlace { number, check }.cursor(self.store))
            }
            _ => Err(emptied()),
        }
    }

    async fn read(&mut self, after: &Cursor, most: usize) -> Result<Page, ReadError> {
        let from = HistoryPlace::of(after, self.store)?;
        let most = i32::try_from(most)
            .unwrap_or(i32::MAX - 1)
            .min(i32::MAX - 1);
        self.connection.forget_wakes();
        self.read_at = Some(self.timer.now());
        let rows = self
            .connection
            .query(
                &self.statement,
                &[
                    (&from.number, Type::INT8),
                    (&from.check, Type::INT4),
                    (&most, Type::INT4),
                    (&self.namespace, Type::TEXT),
                    (&self.tag, Type::TEXT),
                ],
            )
            .await
            .map_err(|error| BackendError::from(ConnectionError::from(error)))?;
        // One row is always there, unless somebody emptied the table of the store.
        let first = rows.first().ok_or_else(emptied)?;
        if first.get::<_, i64>("store") != self.store {
            // The store was dropped and made again: the next connection finds out.
            let message = "another store answers than the one that was connected to";
            return Err(BackendError::new(BackendErrorKind::Unreachable, message).into());
        }
        // Numbers were given out again, or the record of the place is gone: only the reconciler knows what was missed.
        if first.get("replaced") {
            return Err(CursorError::Expired.into());
        }
        let trimmed = place(first, "trimmed", "trimmed_check").unwrap_or(from);
        if from.number < trimmed.number {
            return Err(ReadError::Expired {
                oldest: trimmed.cursor(self.store),
                missed: u64::try_from(trimmed.number - from.number).ok(),
            });
        }
        let mut position = place(first, "reached", "reached_check").unwrap_or(from);
        let (more, held): (bool, bool) = (first.get("more"), first.get("held"));
        let mut entries = Vec::new();
        for row in &rows {
            let Some(record) = place(row, "number", "check_value") else {
                continue;
            };
            if more {
                position = record;
            }
            let place = record.cursor(self.store);
            entries.push(match row::completion(row, place.clone()) {
                Ok(completion) => Entry::Completion(completion),
                Err(reason) => Entry::Poison(Poison::new(place, reason)),
            });
        }
        self.held = match (held, self.held) {
            (false, _) => None,
            (true, Some(before)) if entries.is_empty() => {
                Some(before.saturating_mul(2).min(HELD_MOST))
            }
            (true, _) => Some(GATHER),
        };
        Ok(Page::new(entries, position.cursor(self.store), more))
    }

    async fn wait(&mut self) -> Result<(), BackendError> {
        if let Some(held) = self.held {
            let woken = pin!(self.connection.woken());
            if let Either::Left((woken, _)) = select(woken, self.timer.sleep(held)).await {
                woken?;
            }
        } else {
            self.connection.woken().await?;
        }
        let since = self.read_at.map(|read_at| self.timer.now() - read_at);
        if let Some(rest) = since.and_then(|since| GATHER.checked_sub(since)) {
            self.timer.sleep(rest).await;
        }
        Ok(())
    }
}
