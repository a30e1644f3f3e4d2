//! One WebSocket client: the task that owns its socket and its mailbox.
//!
//! The task goes in turns. A turn takes what waits in the mailbox and what the client has asked
//! for, some of each, so that neither a busy topic nor a busy client starves the other; it feeds
//! all of it to the socket and flushes once. While a turn is being written no request is read, so a
//! client that does not read its answers is not read either.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use midplane::Item;
use midplane_http::{Alive, Close, Pump, PumpSettings};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::{CloseCode, Data};
use tungstenite::{Error, Message};

use crate::bounded::Bounded;
use crate::client::Client;
use crate::connection_reach::ConnectionReach;
use crate::identity::{Identity, NoEntropy};
use crate::leave::leave_in_turns;
use crate::message::Body;
use crate::request::is_forged;
use crate::runtime::Socket;
use crate::state::App;
use crate::websocket::WebSocket;

/// Items of the mailbox in one turn, requests that wait, and how often in a turn requests are read and answered.
const ITEMS: usize = 64;
const REQUESTS: usize = 16;
const PASSES: usize = 4;

/// What is collected before it is written, in bytes; the last message may go beyond.
const WRITE_BUFFER: usize = 16 << 10;

/// Room that is kept for items and requests, of which there may be more now and then.
const KEPT: usize = 16;

/// The time a closed connection has for its last words; a client that has not closed by then is cut off.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is read, and thrown away, of a client after its close frame, in bytes: closing a socket
/// that has unread bytes would take the close frame back.
const UNREAD: u64 = 16 << 20;

/// tungstenite's defaults are for few connections that trust each other: 64 MiB messages, and 128 KiB to
/// read into for each connection.
fn websocket_config(app: &App) -> WebSocketConfig {
    const READ_BUFFER: usize = 1 << 10;
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(app.config.max_message))
        .max_frame_size(Some(app.config.max_message))
}

/// Attaches a new connection: from here on events reach its mailbox. It is [served](Connection::serve)
/// where it stands, so that the task that waits for the socket takes no more memory than it has to.
pub(crate) fn open<S: Socket>(
    app: Arc<App>,
    identity: Identity,
    mut socket: Bounded<S>,
    read: &Bytes,
) -> Result<Box<Connection<S>>, NoEntropy> {
    let (connection, client) = Client::attach(app.clone(), identity)?;
    let mut settings = PumpSettings::default();
    settings.ping = app.config.ping_interval;
    settings.patience = app.config.pong_timeout;
    let pump = Pump::new(connection, app.runtime.timer.clone(), settings);
    socket.tell(pump.alive());
    let welcome = client.clone();
    Ok(Box::new(Connection {
        websocket: WebSocket::new(socket, read, websocket_config(&app)),
        alive: pump.alive(),
        pump,
        answer: Some(async move { welcome.welcome().await }.boxed()),
        client,
        reach: ConnectionReach::new(app.live.watch()),
        app,
        welcomed: false,
        items: Vec::new(),
        requests: VecDeque::new(),
        end: None,
    }))
}

/// Why a conversation is over.
#[derive(Debug)]
enum End {
    /// The client said goodbye.
    Left,
    /// The pump says so: the server drains, the mailbox overflowed and disconnects, or the client answered no ping.
    Closed(Close),
    /// The client was refused its identity.
    Refused,
    /// The socket failed, or the client broke the protocol.
    Failed(Error),
}

/// A client and its socket.
pub(crate) struct Connection<S> {
    app: Arc<App>,
    websocket: WebSocket<Bounded<S>>,
    pump: Pump,
    alive: Alive,
    client: Arc<Client>,
    reach: ConnectionReach,
    /// Whether the first message is written; events come after it.
    welcomed: bool,
    /// The answer that is worked at: `None` is for a client that may not stay. Those that wait for it
    /// keep neither events nor pings from the client.
    answer: Option<BoxFuture<'static, Option<String>>>,
    /// What was taken out of the mailbox and is not written.
    items: Vec<Item>,
    /// What the client asked for and is not begun.
    requests: VecDeque<Message>,
    /// Why the turn that is being written is the last.
    end: Option<End>,
}

impl<S: Socket> Connection<S> {
    /// Serves the client until it leaves, fails, or is closed.
    pub(crate) async fn serve(mut self: Box<Self>) {
        tracing::debug!(connection = %self.client.attachment.id(), "client attached");
        let end = poll_fn(|context| self.poll_end(context)).await;
        tracing::debug!(connection = %self.client.attachment.id(), ?end, "client detached");
        // Boxed, for the goodbye would else take 2.5 KiB of every connection while it lives.
        Box::pin(self.part(end)).await;
    }

    /// Takes turns until one of them is the last.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            if let Err(error) = ready!(self.websocket.poll_flush(context)) {
                return Poll::Ready(End::Failed(error.into()));
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(end);
            }
            ready!(self.poll_turn(context));
        }
    }

    /// Waits until there is something to write, and puts it into the buffer. What was in the mailbox
    /// goes before the answers, so an event that a request lets in never comes before an answer that
    /// had nothing to wait for.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.reach.watch(context);
        if self.welcomed {
            self.poll_items(context);
            self.poll_reach(context);
        }
        if self.items.is_empty() {
            self.poll_passes(context);
        }
        match self.pump.poll_beat(context) {
            Poll::Ready(None) => {
                if let Err(error) = self.websocket.ping() {
                    self.end = Some(End::Failed(error));
                }
            }
            Poll::Ready(Some(close)) => self.end = Some(End::Closed(close)),
            Poll::Pending => {}
        }
        if self.websocket.unsent() > 0 || self.end.is_some() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn poll_items(&mut self, context: &mut Context<'_>) {
        if self.items.is_empty()
            && let Poll::Ready(Some(close)) = self.pump.poll_items(context, &mut self.items, ITEMS)
        {
            self.end = Some(End::Closed(close));
        }
        if let [_, _, ..] = &*self.items {
            let bytes = self.items.iter().map(|item| match item {
                Item::Event(event) => event.bytes().len() + 10,
                _ => 0,
            });
            self.websocket
                .reserve(bytes.sum::<usize>().min(WRITE_BUFFER));
        }
        let mut written = 0;
        for item in &self.items {
            if self.websocket.unsent() >= WRITE_BUFFER {
                break;
            }
            written += 1;
            match item {
                Item::Event(event) if is_forged(event) => {
                    let lost = self.client.lost(1);
                    self.websocket.push(Data::Text, lost.as_bytes());
                }
                // The bytes of an event of text are known to be text.
                Item::Event(event) => {
                    let kind = if event.is_text() {
                        Data::Text
                    } else {
                        Data::Binary
                    };
                    self.websocket.push(kind, event.bytes());
                }
                Item::Lost(count) => {
                    let lost = self.client.lost(*count);
                    self.websocket.push(Data::Text, lost.as_bytes());
                }
                Item::Missed(missed) => {
                    let told = self.client.missed(missed);
                    self.websocket.push(Data::Text, told.as_bytes());
                }
                _ => {}
            }
        }
        self.items.drain(..written);
        if self.items.is_empty() && self.items.capacity() > KEPT {
            self.items = Vec::new();
        }
    }

    /// Tells the client when it reaches farther, or less far, than it was told last.
    fn poll_reach(&mut self, context: &mut Context<'_>) {
        if let Some(reach) = self.reach.change(&self.client, context) {
            let reach = reach.into();
            let changed = Body::Reach { reach }.unasked();
            self.websocket.push(Data::Text, changed.as_bytes());
        }
    }

    /// Reads requests and answers them, for as long as there are more; what is answered goes out at once.
    fn poll_passes(&mut self, context: &mut Context<'_>) {
        for _ in 0..PASSES {
            let more = self.poll_requests(context);
            if self.end.is_some() {
                return;
            }
            self.poll_answers(context);
            if !more {
                return;
            }
            if !self.requests.is_empty() {
                break;
            }
        }
        // There may be more, and nobody but this task knows: the next turn begins at once.
        context.waker().wake_by_ref();
    }

    /// Whether there may be more to read.
    fn poll_requests(&mut self, context: &mut Context<'_>) -> bool {
        for _ in 0..REQUESTS {
            if self.requests.len() >= REQUESTS {
                // A client that asks faster than it is answered is not read until it is.
                return false;
            }
            let Poll::Ready(message) = self.websocket.poll_read(context) else {
                return false;
            };
            self.alive.heard();
            match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    self.requests.push_back(message);
                }
                // tungstenite answers pings by itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => {
                    self.end = Some(End::Left);
                    return false;
                }
                Some(Err(error)) => {
                    self.end = Some(End::Failed(error));
                    return false;
                }
            }
        }
        true
    }

    /// Answers what was asked, in its order.
    fn poll_answers(&mut self, context: &mut Context<'_>) {
        while self.websocket.unsent() < WRITE_BUFFER {
            if let Some(answer) = &mut self.answer {
                let Poll::Ready(answer) = answer.as_mut().poll(context) else {
                    break;
                };
                self.answer = None;
                let Some(answer) = answer else {
                    self.end = Some(End::Refused);
                    break;
                };
                self.welcomed = true;
                self.websocket.push(Data::Text, answer.as_bytes());
            }
            let Some(request) = self.requests.pop_front() else {
                break;
            };
            self.answer = Some(answer(self.client.clone(), request).boxed());
        }
        if self.requests.is_empty() {
            self.requests = VecDeque::new();
        }
    }

    /// Carries out what was asked for and is not begun: how the client ended, and whether anything could be written to it,
    /// changes nothing about that.
    async fn carry_out(&mut self, end: &End) {
        // Behind a close frame comes no answer, and nobody reads one on a socket that failed.
        let answers = match end {
            End::Refused => return,
            End::Left | End::Failed(Error::Io(_)) => false,
            End::Closed(_) | End::Failed(_) => true,
        };
        if let Some(begun) = self.answer.take() {
            self.conclude(begun, answers);
        }
        self.conclude_requests(answers);
        // What was sent before a reset can still be read. A client that takes nothing is not gone, and may send for ever.
        if let End::Failed(Error::Io(error)) = end
            && error.kind() != ErrorKind::TimedOut
        {
            let timer = self.app.runtime.timer.clone();
            timer.within(FAREWELL, self.read_out()).await;
        }
    }

    /// Reads to the end of what a client that is gone has sent, and carries that out.
    async fn read_out(&mut self) {
        while let Some(Ok(message)) = self.websocket.next().await {
            if let Message::Text(_) | Message::Binary(_) = message {
                self.requests.push_back(message);
                self.conclude_requests(false);
            }
        }
    }

    fn conclude_requests(&mut self, answers: bool) {
        while let Some(request) = self.requests.pop_front() {
            let act = answer(self.client.clone(), request);
            self.conclude(act, answers);
        }
    }

    /// Does what a request asks for, which it does when it is polled first, and writes the answer where that is known.
    fn conclude(&mut self, act: impl Future<Output = Option<String>>, answers: bool) {
        if let Some(Some(answer)) = act.now_or_never()
            && answers
        {
            self.websocket.push(Data::Text, answer.as_bytes());
        }
    }

    /// Detaches the connection, says goodbye where anyone listens, and closes the socket.
    async fn part(mut self: Box<Self>, end: End) {
        self.carry_out(&end).await;
        leave_in_turns(&self.client.attachment).await;
        let Self {
            app,
            mut websocket,
            pump,
            client,
            answer: begun,
            reach,
            ..
        } = *self;
        drop((begun, client, pump, reach));
        let broken = matches!(end, End::Failed(_));
        let goodbye = match end {
            End::Refused => return,
            End::Left => None,
            // Nobody is there to be told.
            End::Closed(close) if close.code == Close::SILENT => return,
            End::Closed(close) if close.code == Close::RESTART => {
                let reason = "the server is shutting down";
                let back = midplane_http::return_after().as_millis();
                let closing = Body::Closing {
                    reason,
                    return_after_ms: back.try_into().ok(),
                };
                websocket.push(Data::Text, closing.unasked().as_bytes());
                Some((CloseCode::Restart, reason.to_owned()))
            }
            End::Closed(close) if close.code == Close::LATER => {
                Some((CloseCode::Again, "too slow".to_owned()))
            }
            End::Closed(close) => {
                let (code, reason) = close.into_parts();
                Some((code.into(), reason))
            }
            End::Failed(error) => match blame(&error) {
                Some((code, reason)) => Some((code, reason.to_owned())),
                None => return,
            },
        };
        if let Some((code, reason)) = goodbye {
            let reason = reason.into();
            if websocket.close(CloseFrame { code, reason }).is_err() {
                return;
            }
        }

        let farewell = async move {
            // Until the other side's close frame has come too, and ours is written.
            let mut open = !broken;
            while websocket.flush().await.is_ok() && open {
                open = matches!(websocket.next().await, Some(Ok(_)));
            }
            let mut socket = websocket.into_inner();
            if socket.close().await.is_ok() {
                let _ = futures::io::copy(socket.take(UNREAD), &mut futures::io::sink()).await;
            }
        };
        let closed = app.runtime.timer.within(FAREWELL, farewell).await;
        if closed.is_none() {
            tracing::debug!("client did not close in time");
        }
    }
}

/// Carries out what a message asks for.
async fn answer(client: Arc<Client>, message: Message) -> Option<String> {
    Some(match message {
        Message::Text(request) => client.answer(&request).await,
        _ => client.refuse_binary(),
    })
}

/// What a client is told that broke the protocol. A socket that failed is told nothing.
fn blame(error: &Error) -> Option<(CloseCode, &'static str)> {
    Some(match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            (CloseCode::Size, "the message is too large")
        }
        Error::Capacity(_) => (CloseCode::Policy, "a limit is exceeded"),
        Error::Utf8(_) => (CloseCode::Invalid, "the text is not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return None,
        Error::Protocol(_) => (CloseCode::Protocol, "the protocol is broken"),
        _ => return None,
    })
}
