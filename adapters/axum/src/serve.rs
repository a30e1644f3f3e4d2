//! `axum::serve` with an end that waits for every client's last words.

use std::future::{Future, IntoFuture};
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::Router;
use futures::FutureExt;
use futures::future::{Either, select};
use midplane::{Closed, Plane};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until};

use crate::listener::PatientListener;

/// Serves the router until SIGINT, SIGTERM or SIGQUIT, and then ends well: readiness goes first and connections are taken for
/// [a while](Serve::drain_delay) still, for a load balancer to see it; then none is taken, and each client is told, within
/// [the spread](Serve::spread); then the plane closes. What was published is handed to the bus, within
/// [the deadline](Serve::deadline) of it all. A second signal ends it at once.
#[must_use = "it serves when it is awaited"]
pub fn serve(listener: TcpListener, router: Router, plane: Plane) -> Serve {
    Serve {
        listener,
        router,
        plane,
        drain_delay: Duration::ZERO,
        spread: None,
        deadline: Duration::from_secs(10),
        shutdown: signal().boxed(),
    }
}

/// The settings of [`serve`]; await it.
#[must_use = "it serves when it is awaited"]
pub struct Serve {
    listener: TcpListener,
    router: Router,
    plane: Plane,
    drain_delay: Duration,
    spread: Option<Duration>,
    deadline: Duration,
    shutdown: futures::future::BoxFuture<'static, ()>,
}

impl Serve {
    /// For how long connections are taken after readiness went, 0 s by default: longer than a load balancer asks for
    /// readiness.
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.drain_delay = delay;
        self
    }

    /// Within which time clients are told that the server goes, each at a moment of its own: by default 5 ms for each
    /// client, and at most half of the [deadline](Self::deadline).
    pub fn spread(mut self, spread: Duration) -> Self {
        self.spread = Some(spread);
        self
    }

    /// How long the end takes at most behind the [delay](Self::drain_delay), 10 s by default.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Ends when this future does, and not by a signal.
    pub fn until(mut self, shutdown: impl Future<Output = ()> + Send + 'static) -> Self {
        self.shutdown = shutdown.boxed();
        self
    }

    async fn run(self) -> io::Result<Closed> {
        let Self {
            listener,
            router,
            plane,
            drain_delay,
            spread,
            deadline,
            shutdown,
        } = self;
        let (told, begins) = futures::channel::oneshot::channel();
        let ending = {
            let plane = plane.clone();
            async move {
                shutdown.await;
                plane.unready();
                sleep(drain_delay).await;
                let clients = plane.status().connections;
                plane.drain_over(
                    spread.unwrap_or_else(|| midplane_http::spread(clients, deadline / 2)),
                );
                let _ = told.send(Instant::now() + deadline);
            }
        };
        let listener = PatientListener {
            listener,
            plane: plane.clone(),
        };
        let serving = axum::serve(listener, router).with_graceful_shutdown(ending);
        let mut serving = pin!(serving.into_future());
        // Without an end it serves for ever; with one, requests that go on are given up at the deadline. That the end begins is
        // looked at first: where no request is under way, serving ends in the same moment.
        let until = match select(begins, &mut serving).await {
            Either::Left((until, _)) => until.unwrap_or_else(|_| Instant::now()),
            Either::Right((served, _)) => return served.map(|()| Closed::default()),
        };
        let sockets = plane.close_within(until - Instant::now());
        let again = signal();
        let closing = async {
            // Requests under way may still publish: they are first.
            let _ = select(serving, pin!(sleep_until(until))).await;
            sockets.await
        };
        match select(pin!(closing), pin!(again)).await {
            Either::Left((closed, _)) => Ok(closed),
            Either::Right(_) => Ok(plane.close_within(Duration::ZERO).await),
        }
    }
}

impl IntoFuture for Serve {
    type Output = io::Result<Closed>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<Closed>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl std::fmt::Debug for Serve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve")
            .field("plane", &self.plane)
            .field("drain_delay", &self.drain_delay)
            .field("spread", &self.spread)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Resolves at SIGINT, SIGTERM or SIGQUIT; never where the system gives no signals.
async fn signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            futures::future::pending::<()>().await;
        }
    };
    select(pin!(interrupt), pin!(terminate())).await;
}

#[cfg(unix)]
async fn terminate() {
    use tokio::signal::unix::{SignalKind, signal};
    let received = async |kind| match signal(kind) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => futures::future::pending().await,
    };
    // Images whose first server was nginx are stopped by SIGQUIT.
    let (terminate, quit) = (
        received(SignalKind::terminate()),
        received(SignalKind::quit()),
    );
    select(pin!(terminate), pin!(quit)).await;
}

#[cfg(not(unix))]
async fn terminate() {
    futures::future::pending().await
}
