//! Whether a pooler stands before the server that gives each transaction another connection: what one listens for there,
//! another may get.

use std::pin::pin;
use std::time::Duration;

use async_io::Timer;
use futures::future::{Either, select};

use crate::error::{ConnectionError, ConnectionErrorKind};
use crate::login::{self, Opened};
use crate::url::Endpoint;

/// How long the second connection and its questions may take. A pooler that keeps a connection for each session may have
/// none left: then nothing is known, and nothing refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often is looked: others that use the pooler may hide once that the connection changes.
const ROUNDS: usize = 3;

const BACKEND: &str = "SELECT pg_backend_pid()";
const HELD: &str = "BEGIN; SELECT pg_backend_pid()";

/// Refuses a connection whose transactions are not all of one session of the server. It is looked for only where the server
/// itself says another address than the one that was connected to; a proxy that changes nothing else may do that too.
pub(crate) async fn refuse(
    endpoint: &Endpoint,
    opened: &mut Opened,
) -> Result<(), ConnectionError> {
    if opened.direct {
        return Ok(());
    }
    let pooled = {
        let looked = pin!(changes(endpoint, opened));
        match select(looked, Timer::after(PATIENCE)).await {
            Either::Left((pooled, _)) => pooled,
            Either::Right(_) => Ok(false),
        }
    };
    let pooled = pooled.map_err(|error| error.without(&opened.secrets))?;
    if !pooled {
        return Ok(());
    }
    let message = format!(
        "a pooler at {} gives each transaction another connection, where LISTEN gets nothing: name the Postgres server \
         itself in the url, or have the pooler keep a connection for each session (`pool_mode = session` of PgBouncer)",
        opened.server
    );
    Err(ConnectionError::new(ConnectionErrorKind::Protocol, message))
}

/// Whether a second connection, in the middle of a transaction, has the backend of the first, or the first another than
/// before.
async fn changes(endpoint: &Endpoint, opened: &mut Opened) -> Result<bool, ConnectionError> {
    // Where there is no other connection nothing is known.
    let Ok(mut other) = login::open(endpoint, "").await else {
        return Ok(false);
    };
    for _ in 0..ROUNDS {
        let ours = opened.ask(BACKEND).await.map_err(ConnectionError::of)?;
        let Ok(theirs) = other.ask(HELD).await else {
            // A pooler that gives each statement another connection ends one that begins a transaction.
            return Ok(opened.ask(BACKEND).await.is_ok());
        };
        // Where the pooler has but this one, there is no answer before the transaction ends.
        if theirs == ours || opened.ask(BACKEND).await.map_err(ConnectionError::of)? != ours {
            return Ok(true);
        }
        other.ask("ROLLBACK").await.map_err(ConnectionError::of)?;
    }
    Ok(false)
}
