//! What is to be written to a WebSocket next.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::slice;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use midplane::{Connection, ConnectionEnd, Item, Timer};

use crate::alive::{Alive, Sign};
use crate::close::Close;
use crate::draining::{Draining, return_after};
use crate::patience::time_to_read;

/// How a WebSocket is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PumpSettings {
    /// How often the client is pinged; 20 s by default, below the 60 s after which many proxies cut an idle socket.
    pub ping: Duration,
    /// For how long nothing at all may come from the client after a ping has left; 20 s by default. A client that takes
    /// something of a write that had waited has it anew, and has to read first what was written before the ping: that is
    /// given time at 4 KiB/s.
    pub patience: Duration,
}

/// What lies between the pump and the client at most, in bytes, however much was written: the buffers of two systems.
const UNDER_WAY: u64 = 256 << 10;

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
    /// When the client is to come back: the server goes, and closes next.
    ReturnAfter(Duration),
    /// A close, behind which nothing comes.
    Close(Close),
}

impl Outgoing {
    /// What is said in front of this close: with [`Close::RESTART`] when the client is to come back.
    pub(crate) fn before(close: &Close) -> Option<Self> {
        (close.code == Close::RESTART).then(|| Self::ReturnAfter(return_after()))
    }
}

/// A stream of what is to be written to a WebSocket, to its [`Close`]. In front of a close with [`Close::RESTART`] it says when
/// the client is to [come back](Outgoing::ReturnAfter), another time to each.
///
/// Write one thing before the next is asked for: that is the back-pressure, and when a ping counts as sent.
pub struct Pump {
    connection: Connection,
    timer: Arc<dyn Timer>,
    settings: PumpSettings,
    alive: Alive,
    beat: Beat,
    /// The bytes of events that were handed out since the client was heard last.
    unproven: u64,
    alarm: BoxFuture<'static, ()>,
    draining: Draining,
    /// Whether the goodbye is looked for before what waits is taken.
    looks: bool,
    /// There once somebody may say goodbye.
    goodbye: Option<oneshot::Receiver<Close>>,
    /// What is said behind all that waits in the mailbox, to which nothing more comes.
    last: Option<Close>,
    /// The close, once the client was told when to come back.
    parting: Option<Close>,
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
            unproven: 0,
            draining,
            looks: true,
            goodbye: None,
            last: None,
            parting: None,
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
        self.poll_items_within(context, items, most, usize::MAX)
    }

    /// [`poll_items`](Self::poll_items) for who holds no more than about `bytes` of events: the one that reaches the bound is
    /// the last that it takes.
    pub fn poll_items_within(
        &mut self,
        context: &mut Context<'_>,
        items: &mut Vec<Item>,
        most: usize,
        bytes: usize,
    ) -> Poll<Option<Close>> {
        // What woke a pump that waited is in the mailbox, most often.
        let looks = mem::replace(&mut self.looks, true);
        if looks {
            self.look_for_goodbye(context);
        }
        let before = items.len();
        let mut taken = self
            .connection
            .poll_batch_within(context, items, most, bytes);
        if taken.is_pending() && !looks {
            self.look_for_goodbye(context);
            if self.last.is_some() {
                taken = self
                    .connection
                    .poll_batch_within(context, items, most, bytes);
            }
        }
        match taken {
            Poll::Pending => {
                self.looks = false;
                Poll::Pending
            }
            Poll::Ready(0) => Poll::Ready(Some(self.end())),
            Poll::Ready(_) => {
                self.count(&items[before..]);
                Poll::Ready(None)
            }
        }
    }

    /// Why the connection ended.
    fn end(&mut self) -> Close {
        let end = self.connection.end().unwrap_or(ConnectionEnd::Detached);
        self.last.take().unwrap_or_else(|| end.into())
    }

    /// Detaches the connection once something ends the session: a mailbox that is never empty would hold the goodbye back
    /// for ever.
    fn look_for_goodbye(&mut self, context: &mut Context<'_>) {
        if self.last.is_some() {
            return;
        }
        if let Poll::Ready(close) = self.poll_goodbye(context) {
            self.last = Some(close);
            drop(self.connection.attachment().detach());
        }
    }

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
                    // Not when it has left: a client nearby answers before this is asked again.
                    self.alive.take();
                    return Poll::Ready(None);
                }
                _ => match self.alive.take() {
                    Sign::Heard => {
                        self.beat = Beat::Resting;
                        self.unproven = 0;
                        let rest = self.settings.ping.saturating_sub(self.settings.patience);
                        self.alarm = self.timer.sleep(rest);
                    }
                    Sign::Took => self.alarm = self.timer.sleep(self.patience()),
                    Sign::None => return Poll::Ready(Some(Close::silent())),
                },
            }
        }
    }

    /// The time for an answer, behind what the client has to read before.
    fn patience(&self) -> Duration {
        self.settings.patience + time_to_read(self.unproven.min(UNDER_WAY))
    }

    /// Counts what is handed out.
    fn count(&mut self, items: &[Item]) {
        let bytes = items.iter().map(|item| match item {
            Item::Event(event) => event.bytes().len() as u64,
            _ => 0,
        });
        self.unproven = self.unproven.saturating_add(bytes.sum());
    }

    /// Begins the patience for a ping that has left.
    fn leave(&mut self) {
        if self.beat == Beat::Leaving {
            self.beat = Beat::Asked;
            self.alarm = self.timer.sleep(self.patience());
        }
    }

    fn poll_outgoing(&mut self, context: &mut Context<'_>) -> Poll<Outgoing> {
        // What was handed out before has left when the next is asked for.
        self.leave();
        self.look_for_goodbye(context);
        match self.connection.poll_next_unpin(context) {
            Poll::Ready(Some(item)) => {
                self.count(slice::from_ref(&item));
                return Poll::Ready(Outgoing::Item(item));
            }
            Poll::Ready(None) => return Poll::Ready(Outgoing::Close(self.end())),
            Poll::Pending => {}
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
        let outgoing = match self.parting.take() {
            Some(close) => Outgoing::Close(close),
            None => match ready!(self.poll_outgoing(context)) {
                Outgoing::Close(close) => match Outgoing::before(&close) {
                    Some(hint) => {
                        self.parting = Some(close);
                        hint
                    }
                    None => Outgoing::Close(close),
                },
                outgoing => outgoing,
            },
        };
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
