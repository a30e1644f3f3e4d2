//! Accepting sockets, and the drain.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, FutureExt, Shared, join, select};
use futures::stream::{Stream, StreamExt};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use smol_hyper::rt::FuturesIo;

use crate::bounded::Bounded;
use crate::clock::HeadTimer;
use crate::error::RunError;
use crate::http;
use crate::response::{Body, Failure, failure};
use crate::runtime::Socket;
use crate::signals::DrainAsked;
use crate::sockets::Place;
use crate::state::App;

/// Resolves when a drain begins, for every task that holds a clone.
type Drain = Shared<oneshot::Receiver<()>>;

/// The pause after the system gave no socket: it mostly is out of descriptors, and one that is
/// closed makes room.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves every socket that comes in until `signal`, then drains.
pub(crate) async fn serve<S: Socket>(
    app: Arc<App>,
    incoming: impl Stream<Item = io::Result<(S, SocketAddr)>> + Unpin,
    signal: oneshot::Receiver<DrainAsked>,
) -> Result<(), RunError> {
    let (drain, draining) = oneshot::channel();
    let accepting = Box::pin(accept(app.clone(), incoming, draining.shared()));
    let (asked, accepting) = match select(accepting, signal).await {
        Either::Left((never, _)) => match never {},
        Either::Right(asked) => asked,
    };
    let asked = asked.unwrap_or(DrainAsked {
        signal: "none",
        delayed: false,
    });
    // Who was told before that this server is not ready sends nobody here.
    let delay = match asked.delayed && app.is_ready() {
        true => app.config.drain_delay,
        false => Duration::ZERO,
    };
    app.front.unready();
    let (signal, sockets, connections) = (asked.signal, app.sockets.open(), app.connections.open());
    tracing::info!(signal, sockets, connections, ?delay, "draining");
    // Accepting ends with the delay, and with it the listening socket is closed.
    select(accepting, app.runtime.timer.sleep(delay)).await;
    drop(drain);
    let limit = app.config.drain_timeout;
    let spread = midplane_http::spread(app.connections.open(), limit / 2);
    tracing::info!(
        connections = app.connections.open(),
        ?spread,
        "closing connections"
    );
    app.front.drain_over(spread);
    match app.runtime.timer.within(limit, finish(&app, spread)).await {
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

/// Waits until every client is gone and the bus has what they published, and gives the number of events that it has not.
async fn finish(app: &App, spread: Duration) -> usize {
    let limit = app.config.drain_timeout;
    let emptied = async {
        // A socket may still become a connection, never the other way.
        app.sockets.emptied().await;
        app.connections.emptied().await;
    };
    let mut emptied = Box::pin(emptied);
    // What clients publish until they are told to go is for the bus, too. Closing detaches those that have not taken their
    // goodbye: their tasks write what the mailboxes still hold.
    let gone = app.runtime.timer.within(spread, &mut emptied).await;
    // The bus has a little less time than the clients, so that what it did not take is known by the end.
    let close = app.plane.close(limit - spread - limit / 8);
    let close = async {
        let unsent = close.await.unsent;
        if unsent > 0 {
            tracing::warn!(events = unsent, "events not relayed");
        }
        unsent
    };
    match gone {
        Some(()) => close.await,
        None => join(close, emptied).await.0,
    }
}

async fn accept<S: Socket>(
    app: Arc<App>,
    mut incoming: impl Stream<Item = io::Result<(S, SocketAddr)>> + Unpin,
    draining: Drain,
) -> Infallible {
    loop {
        match incoming.next().await {
            Some(Ok((socket, address))) => {
                let (place, gives_way) = app.sockets.admit(address.ip());
                let task = serve_socket(app.clone(), socket, place, draining.clone());
                app.runtime.spawn(async move {
                    // One that gives way has no request under way.
                    select(Box::pin(task), gives_way).await;
                });
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
async fn serve_socket<S: Socket>(app: Arc<App>, socket: S, place: Place, draining: Drain) {
    let timer = app.runtime.timer.clone();
    let header_timeout = app.config.header_timeout;
    let socket = Bounded::new(socket, timer.clone(), app.config.write_timeout);
    let used = Arc::<AtomicBool>::default();
    let head_timer = HeadTimer {
        timer: timer.clone(),
        longer: app.config.kept() - header_timeout,
        used: used.clone(),
    };
    let (place, old) = (Arc::new(place), timer.now() + app.config.max_age);
    let service = service_fn(move |request| {
        used.store(true, Ordering::Relaxed);
        let under_way = place.begin();
        let (app, is_last) = (app.clone(), place.probe || timer.now() >= old);
        let refused = (place.probe && !http::is_probe(&request)).then(full);
        let place = place.clone();
        async move {
            let mut response = match refused {
                Some(refused) => refused,
                None => http::answer::<S>(app, request, &place).await?,
            };
            if is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            drop(under_way);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(head_timer)
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

/// The answer to who asks for more than how the server is, while every socket has a request under way.
fn full() -> Response<Body> {
    let message = "every socket has a request under way";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    failure(status, &Failure::new("unavailable", message))
}
