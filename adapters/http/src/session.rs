//! One WebSocket from its upgrade to its end.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::{Either, join, select};
use futures::stream::SplitSink;
use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use midplane::{Associate, AttachOptions, Error, Handle, Item, Plane, Target, Timer};

use crate::alive::Alive;
use crate::apart::apart;
use crate::close::Close;
use crate::patience::Patience;
use crate::pump::{Outgoing, Pump, PumpSettings};

/// How long the client may take nothing of what is written.
const STUCK: Duration = Duration::from_secs(60);

/// How long the client's own close is waited for.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is written between two flushes at most: messages, and bytes of events. The last event may go beyond.
const MESSAGES: usize = 64;
const BYTES: usize = 64 << 10;

/// Items that room is kept for between two turns.
const KEPT: usize = 16;

/// Messages of the client that are read ahead of the application.
const AHEAD: usize = 1;

/// How a library of the WebSocket protocol names what a session writes and reads.
pub trait Dialect {
    /// A message of the library.
    type Message;

    /// The message that says this; `None` leaves it out.
    fn write(&self, outgoing: Outgoing) -> Option<Self::Message>;

    /// What a message of the client is.
    fn read(&self, message: &Self::Message) -> Incoming;
}

/// What a message of a client is for a [`Session`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// Text or bytes, for the application.
    Request,
    /// A ping or a pong: the client lives. That the library answers pings is its own.
    Sign,
    /// The client's close.
    Close,
}

/// What a client sent, for the application's task.
#[derive(Debug)]
pub struct Requests<M>(mpsc::Receiver<M>);

impl<M> Requests<M> {
    /// The next message of the client; `None` when it is gone or is being closed. While this is not called, the client waits.
    pub async fn next(&mut self) -> Option<M> {
        self.0.next().await
    }
}

/// A connection that is attached, and is to be served on a socket.
pub struct Session {
    pump: Pump,
    timer: Arc<dyn Timer>,
    /// The associations that are not heard by every node yet.
    joining: Vec<Associate>,
}

impl Session {
    /// Attaches a connection and joins it to the targets: on this node it is in them when this returns.
    ///
    /// # Errors
    /// When an association is refused. Nothing is left attached.
    pub fn open(
        plane: &Plane,
        options: AttachOptions,
        targets: &[Target],
        timer: Arc<dyn Timer>,
        settings: PumpSettings,
    ) -> Result<Self, Error> {
        let connection = plane.attach_with(options);
        let mut joining = Vec::new();
        for target in targets {
            let mut associate = connection.associate(target);
            match (&mut associate).now_or_never() {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => joining.push(associate),
            }
        }
        Ok(Self {
            pump: Pump::new(connection, timer.clone(), settings),
            timer,
            joining,
        })
    }

    /// What changes the connection from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.pump.connection().handle()
    }

    /// Serves the socket to its end: writes what the [`Pump`] gives, reads what the client sends, and runs `task` beside, once
    /// publishers on every node reach the targets. The end of `task` ends the session, with the [`Close`] that it returns.
    ///
    /// What was read of a client is given to `task`, however the client ended. A client that has not taken 64 KiB, or one
    /// larger message, after 60 s and what these need at 4 KiB/s is given up; once the plane drains, after 2 s. A close of the plane waits for the session.
    pub async fn run<S, D, E, T>(
        self,
        socket: S,
        dialect: D,
        task: impl FnOnce(Requests<D::Message>) -> T,
    ) where
        D: Dialect,
        S: Stream<Item = Result<D::Message, E>> + Sink<D::Message, Error = E>,
        T: Future<Output = Result<(), Close>>,
    {
        let Self {
            mut pump,
            timer,
            joining,
        } = self;
        let hold = pump.connection().plane().hold();
        let (alive, farewell) = (pump.alive(), pump.farewell());
        let (sink, stream) = socket.split();
        let (requests, received) = mpsc::channel(AHEAD);
        let (over, ended) = oneshot::channel();

        let reading = async {
            read(stream, requests, &dialect, &alive, ended, &*timer).await;
            drop(hold);
        };
        let serving = async {
            let outcome = match joined(joining).await {
                Ok(()) => task(Requests(received)).await,
                Err(error) => Err(error.into()),
            };
            let close = outcome.err().unwrap_or_else(Close::normal);
            farewell.map(|farewell| farewell.send(close));
        };
        let writing = async {
            let ended = Writer::new(&pump, sink, &timer).write(pump, &dialect).await;
            let _ = over.send(ended);
        };
        // An event wakes the writing side alone: to look for what a client sent is not free, and most clients send little. It
        // is first, so that a client that is told why it is closed is told the first reason.
        join(writing, apart(join(reading, serving))).await;
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("pump", &self.pump)
            .finish_non_exhaustive()
    }
}

async fn joined(joining: Vec<Associate>) -> Result<(), Error> {
    for associate in joining {
        associate.await?;
    }
    Ok(())
}

/// Gives the client's messages to the application until the client is gone or is being closed. What comes behind a close is
/// read and dropped: a socket that is closed with bytes unread is reset, and what was written last is lost with it.
async fn read<D: Dialect, E>(
    mut stream: impl Stream<Item = Result<D::Message, E>> + Unpin,
    mut requests: mpsc::Sender<D::Message>,
    dialect: &D,
    alive: &Alive,
    mut over: oneshot::Receiver<Ended>,
    timer: &dyn Timer,
) {
    // Once nothing can be written, what the client had sent before is still read, and no more is waited for.
    let mut gone = false;
    loop {
        let next = match gone {
            true => timer.within(FAREWELL, stream.next()).await.flatten(),
            false => match select(stream.next(), &mut over).await {
                Either::Left((next, _)) => next,
                Either::Right((Ok(Ended::Gone), _)) => {
                    gone = true;
                    continue;
                }
                Either::Right(_) => break,
            },
        };
        let Some(Ok(message)) = next else { return };
        alive.heard();
        match dialect.read(&message) {
            Incoming::Sign => {}
            Incoming::Close => break,
            Incoming::Request => {
                alive.set_busy(true);
                let mut giving = requests.send(message);
                if gone {
                    let _ = giving.await;
                } else if let Either::Right((ended, _)) = select(&mut giving, &mut over).await {
                    if ended != Ok(Ended::Gone) {
                        break;
                    }
                    gone = true;
                    let _ = giving.await;
                }
                alive.set_busy(false);
            }
        }
    }
    drop(requests);
    let rest = async { while let Some(Ok(_)) = stream.next().await {} };
    timer.within(FAREWELL, rest).await;
}

/// Why nothing more is written.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The close was written.
    Closed,
    /// The client takes nothing any more.
    Stuck,
    /// The client is gone.
    Gone,
}

/// The side of a socket that is written to.
struct Writer<S, M> {
    sink: SplitSink<S, M>,
    patience: Patience,
    /// What was taken out of the mailbox and is not fed to the sink, the first last.
    items: Vec<Item>,
    /// What is fed to the sink when it is ready.
    message: Option<M>,
    /// Whether the sink is to be flushed, and the bytes of events that were fed to it since it was.
    unflushed: bool,
    bytes: usize,
    /// What is written last, and whether that is fed to the sink.
    close: Option<Close>,
    closes: bool,
}

impl<M, E, S: Sink<M, Error = E>> Writer<S, M> {
    fn new(pump: &Pump, sink: SplitSink<S, M>, timer: &Arc<dyn Timer>) -> Self {
        let patience = Patience::new(timer.clone(), STUCK);
        let mut patience = patience.until_drain(pump.connection().plane());
        patience.tell(pump.alive());
        Self {
            sink,
            patience,
            items: Vec::new(),
            message: None,
            unflushed: false,
            bytes: 0,
            close: None,
            closes: false,
        }
    }

    /// Writes until the pump closes, the client takes nothing any more, or is gone.
    async fn write(mut self, mut pump: Pump, dialect: &impl Dialect<Message = M>) -> Ended {
        poll_fn(|context| self.poll_turns(context, &mut pump, dialect)).await
    }

    /// Feeds all that there is to write to the sink and flushes it, turn after turn.
    fn poll_turns(
        &mut self,
        context: &mut Context<'_>,
        pump: &mut Pump,
        dialect: &impl Dialect<Message = M>,
    ) -> Poll<Ended> {
        loop {
            if let Err(ended) = ready!(self.poll_write(context, dialect)) {
                return Poll::Ready(ended);
            }
            if self.closes {
                return Poll::Ready(Ended::Closed);
            }
            ready!(self.poll_turn(context, pump, dialect));
        }
    }

    /// Waits until there is something to write.
    fn poll_turn(
        &mut self,
        context: &mut Context<'_>,
        pump: &mut Pump,
        dialect: &impl Dialect<Message = M>,
    ) -> Poll<()> {
        let end = match pump.poll_items_within(context, &mut self.items, MESSAGES, BYTES) {
            Poll::Ready(None) => {
                self.items.reverse();
                return Poll::Ready(());
            }
            Poll::Ready(end) => end,
            // All before is flushed: a ping that was written has left.
            Poll::Pending => ready!(pump.poll_beat(context)),
        };
        match end {
            None => self.message = dialect.write(Outgoing::Ping),
            Some(close) => {
                let hint = Outgoing::before(&close);
                self.message = hint.and_then(|hint| dialect.write(hint));
                self.close = Some(close);
            }
        }
        Poll::Ready(())
    }

    /// Feeds a turn to the sink, and flushes it once.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        dialect: &impl Dialect<Message = M>,
    ) -> Poll<Result<(), Ended>> {
        while self.message.is_some() || self.take_next(dialect) {
            self.patience.allow(self.bytes as u64);
            let is_ready = self.sink.poll_ready_unpin(context);
            ready!(self.poll_step(context, is_ready))?;
            if let Some(message) = self.message.take() {
                let fed = self.sink.start_send_unpin(message);
                fed.map_err(|_| Ended::Gone)?;
                self.unflushed = true;
            }
        }
        if self.unflushed {
            let flushed = self.sink.poll_flush_unpin(context);
            ready!(self.poll_step(context, flushed))?;
            self.unflushed = false;
        }
        self.bytes = 0;
        if self.items.capacity() > KEPT {
            self.items = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the next message of the turn; false at its end.
    fn take_next(&mut self, dialect: &impl Dialect<Message = M>) -> bool {
        while self.message.is_none() {
            let outgoing = if let Some(item) = self.items.pop() {
                if let Item::Event(event) = &item {
                    self.bytes += event.bytes().len();
                }
                Outgoing::Item(item)
            } else if let Some(close) = self.close.take() {
                self.closes = true;
                Outgoing::Close(close)
            } else {
                return false;
            };
            self.message = dialect.write(outgoing);
        }
        true
    }

    /// What came of one step of writing, for which the client has a while.
    fn poll_step(
        &mut self,
        context: &mut Context<'_>,
        step: Poll<Result<(), E>>,
    ) -> Poll<Result<(), Ended>> {
        Poll::Ready(match ready!(self.patience.poll(context, step)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::Stuck),
        })
    }
}
