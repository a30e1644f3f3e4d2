//! Accepting sockets, and the drain.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, FutureExt, Shared, join, select};
use futures::stream::{Stream, StreamExt};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol_hyper::rt::FuturesIo;

use crate::bounded::Bounded;
use crate::clock::HeadTimer;
use crate::error::RunError;
use crate::gauge::Permit;
use crate::http;
use crate::runtime::Socket;
use crate::state::App;

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
    match app.runtime.timer.within(limit, finish).await {
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
    let used = Arc::<AtomicBool>::default();
    let timer = HeadTimer {
        timer,
        longer: app.config.kept() - header_timeout,
        used: used.clone(),
    };
    let service = service_fn(move |request| {
        used.store(true, Ordering::Relaxed);
        http::answer::<S>(app.clone(), request)
    });
    let connection = http1::Builder::new()
        .timer(timer)
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
