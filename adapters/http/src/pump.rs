//! What is to be written to a WebSocket next.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
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
    /// There once somebody may say goodbye.
    goodbye: Option<oneshot::Receiver<Close>>,
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
        let draining = Draining::new(connection.plane().clone(), timer.clone());
        Self {
            alarm: timer.sleep(settings.ping),
            connection,
            timer,
            settings,
            alive: Alive::default(),
            beat: Beat::Resting,
            draining,
            goodbye: None,
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
        if self.goodbye.is_some() {
            return None;
        }
        let (farewell, goodbye) = oneshot::channel();
        self.goodbye = Some(goodbye);
        Some(farewell)
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Takes up to `most` items at once into `items`, which `None` says; or the close, behind which nothing comes.
    ///
    /// With [`poll_beat`](Self::poll_beat) the parts of the stream, for who writes many items at once or none for a while.
    pub fn poll_items(
        &mut self,
        context: &mut Context<'_>,
        items: &mut Vec<Item>,
        most: usize,
    ) -> Poll<Option<Close>> {
        match self.connection.poll_batch(context, items, most) {
            Poll::Ready(0) => Poll::Ready(Some(self.end())),
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => self.poll_goodbye(context).map(Some),
        }
    }

    /// Why the connection ended.
    fn end(&self) -> Close {
        let end = self.connection.end().unwrap_or(ConnectionEnd::Detached);
        end.into()
    }

    /// What ends the session while nothing waits in the mailbox.
    fn poll_goodbye(&mut self, context: &mut Context<'_>) -> Poll<Close> {
        if let Some(goodbye) = &mut self.goodbye
            && let Poll::Ready(Ok(close)) = goodbye.poll_unpin(context)
        {
            return Poll::Ready(close);
        }
        self.draining.poll(context).map(|()| Close::restart())
    }

    /// A ping that is to be written, which `None` says; or the close of a client that answered none.
    pub fn poll_beat(&mut self, context: &mut Context<'_>) -> Poll<Option<Close>> {
        self.leave();
        loop {
            ready!(self.alarm.poll_unpin(context));
            match self.beat {
                Beat::Resting => {
                    self.beat = Beat::Leaving;
                    return Poll::Ready(None);
                }
                _ if self.alive.take() => {
                    self.beat = Beat::Resting;
                    let rest = self.settings.ping.saturating_sub(self.settings.patience);
                    self.alarm = self.timer.sleep(rest);
                }
                _ => return Poll::Ready(Some(Close::silent())),
            }
        }
    }

    /// Begins the patience for a ping that has left.
    fn leave(&mut self) {
        if self.beat == Beat::Leaving {
            self.beat = Beat::Asked;
            self.alive.take();
            self.alarm = self.timer.sleep(self.settings.patience);
        }
    }

    fn poll_outgoing(&mut self, context: &mut Context<'_>) -> Poll<Outgoing> {
        // What was handed out before has left when the next is asked for.
        self.leave();
        match self.connection.poll_next_unpin(context) {
            Poll::Ready(Some(item)) => return Poll::Ready(Outgoing::Item(item)),
            Poll::Ready(None) => return Poll::Ready(Outgoing::Close(self.end())),
            Poll::Pending => {}
        }
        if let Poll::Ready(close) = self.poll_goodbye(context) {
            return Poll::Ready(Outgoing::Close(close));
        }
        let beat = ready!(self.poll_beat(context));
        Poll::Ready(beat.map_or(Outgoing::Ping, Outgoing::Close))
    }
}

impl Stream for Pump {
    type Item = Outgoing;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let outgoing = ready!(self.poll_outgoing(context));
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
