//! Accepting sockets, and the drain.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, FutureExt, Shared, join, select};
use futures::stream::{Stream, StreamExt};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use midplane_connect::ConnectError;
use smol_hyper::rt::FuturesIo;

use crate::Socket;
use crate::bounded::Bounded;
use crate::clock::{Clock, within};
use crate::http;
use crate::state::{App, Permit};

/// Why a server did not end as it should.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The socket could not be set up, or the system gave no signal handler or thread. Nothing was
    /// served.
    Start(io::Error),
    /// The backplane is not open. Nothing was served.
    Backplane(ConnectError),
    /// Events that were accepted were not handed to the backplane before the drain was over.
    Unsent {
        /// How many.
        events: usize,
    },
    /// The drain took longer than it may. What was open is cut off.
    Cut {
        /// The sockets that were still open.
        sockets: usize,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "the server does not start: {error}"),
            Self::Backplane(error) => error.fmt(f),
            Self::Unsent { events } => {
                write!(
                    f,
                    "the drain took too long: {events} events were accepted and not relayed"
                )
            }
            Self::Cut { sockets } => {
                write!(
                    f,
                    "the drain took too long: {sockets} connections were cut off"
                )
            }
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            Self::Backplane(error) => error.source(),
            Self::Unsent { .. } | Self::Cut { .. } => None,
        }
    }
}

impl From<ConnectError> for RunError {
    fn from(error: ConnectError) -> Self {
        Self::Backplane(error)
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::Start(error)
    }
}

/// Resolves when a drain begins, for every task that holds a clone.
type Drain = Shared<oneshot::Receiver<()>>;

/// The pause after the system gave no socket: it mostly is out of descriptors, and one that is
/// closed makes room.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves every socket that comes in until `signal`, then drains.
pub(crate) async fn serve<S: Socket>(
    app: Arc<App>,
    incoming: impl Stream<Item = io::Result<S>> + Unpin,
    signal: oneshot::Receiver<()>,
) -> Result<(), RunError> {
    let (drain, draining) = oneshot::channel();
    let draining = draining.shared();
    // Accepting ends with the signal, and with it the listening socket is closed.
    select(Box::pin(accept(app.clone(), incoming, draining)), signal).await;
    tracing::info!(sockets = app.sockets.open(), "draining");
    drop(drain);
    let limit = app.config.drain_timeout;
    let finish = async {
        // Closing detaches every connection at once; its task writes what the mailbox still holds and says
        // goodbye, while what waits for the bus is handed over. The bus has a little less time than the
        // clients, so that what it did not take is known by the end.
        let close = app.plane.close(limit - limit / 8);
        let emptied = async {
            // A socket may still become a connection, never the other way.
            app.sockets.emptied().await;
            app.connections.emptied().await;
        };
        let close = async {
            let unsent = close.await.unsent;
            if unsent > 0 {
                tracing::warn!(events = unsent, "events not relayed");
            }
            unsent
        };
        join(close, emptied).await.0
    };
    match within(&*app.runtime.timer, limit, finish).await {
        Some(0) => {
            tracing::info!("drained");
            Ok(())
        }
        Some(events) => Err(RunError::Unsent { events }),
        None => Err(RunError::Cut {
            sockets: app.sockets.open() + app.connections.open(),
        }),
    }
}

async fn accept<S: Socket>(
    app: Arc<App>,
    mut incoming: impl Stream<Item = io::Result<S>> + Unpin,
    draining: Drain,
) {
    loop {
        let permit = app.sockets.acquire().await;
        match incoming.next().await {
            Some(Ok(socket)) => {
                let task = serve_socket(app.clone(), socket, permit, draining.clone());
                app.runtime.spawn(task);
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "connection not accepted");
                app.runtime.timer.sleep(ACCEPT_PAUSE).await;
            }
            None => return futures::future::pending().await,
        }
    }
}

/// Speaks HTTP until the client leaves, is too slow, or upgrades; then another task has the socket.
async fn serve_socket<S: Socket>(app: Arc<App>, socket: S, permit: Permit, draining: Drain) {
    let _permit = permit;
    let timer = app.runtime.timer.clone();
    let header_timeout = app.config.header_timeout;
    let socket = Bounded::new(socket, timer.clone(), app.config.write_timeout);
    let service = service_fn(move |request| http::answer::<S>(app.clone(), request));
    let connection = http1::Builder::new()
        .timer(Clock(timer))
        .header_read_timeout(header_timeout)
        .max_buf_size(16 << 10)
        .serve_connection(FuturesIo::new(socket), service)
        .with_upgrades();
    let outcome = match select(Box::pin(connection), draining).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right((_, mut connection)) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection failed");
    }
}
