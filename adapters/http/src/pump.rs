//! What is to be written to a WebSocket next.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use midplane::{Connection, ConnectionEnd, Item, Timer};

use crate::close::Close;
use crate::draining::Draining;

/// How a WebSocket is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PumpSettings {
    /// How often the client is pinged; 20 s by default, below the 60 s after which many proxies cut an idle socket.
    pub ping: Duration,
    /// For how long nothing at all may come from the client after a ping has left; 20 s by default.
    pub patience: Duration,
}

impl Default for PumpSettings {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(20),
            patience: Duration::from_secs(20),
        }
    }
}

/// One thing to write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outgoing {
    /// What the connection is told.
    Item(Item),
    /// A ping.
    Ping,
    /// A close, behind which nothing comes.
    Close(Close),
}

/// What the side that reads from the client tells the [`Pump`]. Clones tell the same one.
#[derive(Debug, Clone, Default)]
pub struct Alive(Arc<AliveState>);

#[derive(Debug, Default)]
struct AliveState {
    heard: AtomicBool,
    busy: AtomicBool,
}

impl Alive {
    /// Something came from the client: a message, a pong, or part of one.
    pub fn heard(&self) {
        self.0.heard.store(true, Ordering::Relaxed);
    }

    /// Whether the application does not read from the client at the moment: silence is not the client's then.
    pub fn set_busy(&self, busy: bool) {
        self.0.busy.store(busy, Ordering::Relaxed);
        if !busy {
            self.heard();
        }
    }

    fn take(&self) -> bool {
        self.0.heard.swap(false, Ordering::Relaxed) || self.0.busy.load(Ordering::Relaxed)
    }
}

/// A stream of what is to be written to a WebSocket, to its [`Close`].
///
/// Write one thing before the next is asked for: that is the back-pressure, and when a ping counts as sent.
pub struct Pump {
    connection: Connection,
    timer: Arc<dyn Timer>,
    settings: PumpSettings,
    alive: Alive,
    beat: Beat,
    alarm: BoxFuture<'static, ()>,
    draining: Draining,
    goodbye: oneshot::Receiver<Close>,
    /// Kept while nobody else says goodbye.
    farewell: Option<oneshot::Sender<Close>>,
    ended: bool,
}

/// How the pings stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beat {
    /// The alarm says when to ping.
    Resting,
    /// The ping was handed out, and has left when the next thing is asked for.
    Leaving,
    /// The alarm says when the patience ends.
    Asked,
}

impl Pump {
    /// A pump of this connection.
    #[must_use]
    pub fn new(connection: Connection, timer: Arc<dyn Timer>, settings: PumpSettings) -> Self {
        let (farewell, goodbye) = oneshot::channel();
        let draining = Draining::new(connection.plane().clone(), timer.clone());
        Self {
            alarm: timer.sleep(settings.ping),
            connection,
            timer,
            settings,
            alive: Alive::default(),
            beat: Beat::Resting,
            draining,
            goodbye,
            farewell: Some(farewell),
            ended: false,
        }
    }

    /// What the side that reads from the client tells this pump.
    #[must_use]
    pub fn alive(&self) -> Alive {
        self.alive.clone()
    }

    /// What ends the session from elsewhere: the close comes behind what the mailbox holds at that time. `None` if it was
    /// taken before. Dropping it says nothing.
    pub fn farewell(&mut self) -> Option<oneshot::Sender<Close>> {
        self.farewell.take()
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    fn poll_outgoing(&mut self, context: &mut Context<'_>) -> Poll<Outgoing> {
        if self.beat == Beat::Leaving {
            self.beat = Beat::Asked;
            self.alive.take();
            self.alarm = self.timer.sleep(self.settings.patience);
        }
        match self.connection.poll_next_unpin(context) {
            Poll::Ready(Some(item)) => return Poll::Ready(Outgoing::Item(item)),
            Poll::Ready(None) => {
                let end = self.connection.end().unwrap_or(ConnectionEnd::Detached);
                return Poll::Ready(Outgoing::Close(end.into()));
            }
            Poll::Pending => {}
        }
        if let Poll::Ready(Ok(close)) = self.goodbye.poll_unpin(context) {
            return Poll::Ready(Outgoing::Close(close));
        }
        if self.draining.poll(context).is_ready() {
            return Poll::Ready(Outgoing::Close(Close::restart()));
        }
        while self.alarm.poll_unpin(context).is_ready() {
            match self.beat {
                Beat::Resting => {
                    self.beat = Beat::Leaving;
                    return Poll::Ready(Outgoing::Ping);
                }
                _ if self.alive.take() => {
                    self.beat = Beat::Resting;
                    let rest = self.settings.ping.saturating_sub(self.settings.patience);
                    self.alarm = self.timer.sleep(rest);
                }
                _ => return Poll::Ready(Outgoing::Close(Close::silent())),
            }
        }
        Poll::Pending
    }
}

impl Stream for Pump {
    type Item = Outgoing;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let outgoing = std::task::ready!(self.poll_outgoing(context));
        self.ended = matches!(outgoing, Outgoing::Close(_));
        Poll::Ready(Some(outgoing))
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump")
            .field("connection", &self.connection)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
