//! One WebSocket client: the task that owns its socket and its mailbox.
//!
//! The task goes in turns. A turn takes what waits in the mailbox and what the client has asked
//! for, some of each, so that neither a busy topic nor a busy client starves the other; it feeds
//! all of it to the socket and flushes once. While a turn is being written no request is read, so a
//! client that does not read its answers is not read either.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use async_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use async_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Error, Message};
use bytes::Bytes;
use futures::future::poll_fn;
use futures::{AsyncReadExt, AsyncWriteExt, SinkExt, StreamExt};
use midplane::AssociateError;
use midplane::mailbox::{self, Item, Receiver};

use crate::Socket;
use crate::bounded::Bounded;
use crate::client::Client;
use crate::clock::within;
use crate::heartbeat::{Beat, Heartbeat};
use crate::identity::{self, Identity};
use crate::message::Body;
use crate::state::App;

/// Items of the mailbox in one turn, and requests in one turn.
const ITEMS: usize = 64;
const REQUESTS: usize = 16;

/// The time a closed connection has for its last words; whoever has not closed by then is cut off.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is read, and thrown away, of a client after its close frame, in bytes: closing a socket
/// that has unread bytes would take the close frame back.
const UNREAD: u64 = 16 << 20;

/// tungstenite's defaults are for few connections that trust each other: 64 MiB messages, a write
/// buffer without a bound, and 128 KiB to read into for each connection.
fn websocket_config(app: &App) -> WebSocketConfig {
    const READ_BUFFER: usize = 4 << 10;
    const WRITE_BUFFER: usize = 16 << 10;
    let config = &app.config;
    // The buffer is written out before the next message is fed, so it holds what a write begins at
    // and one message more, which is an event or an answer with the id it echoes.
    let largest = config.mailbox_bytes.max(config.max_message) + (4 << 10);
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER + largest)
        .max_message_size(Some(config.max_message))
        .max_frame_size(Some(config.max_message))
}

/// Serves the client until it leaves, fails, or is closed.
pub(crate) async fn run<S: Socket>(
    app: Arc<App>,
    identity: Identity,
    socket: Bounded<S>,
    read: Bytes,
) {
    let config = websocket_config(&app);
    let socket =
        WebSocketStream::from_partially_read(socket, read.into(), Role::Server, Some(config)).await;
    let (client, mailbox) = match attach(&app, identity).await {
        Ok(attached) => attached,
        Err(error) => {
            tracing::error!("a client could not be attached: {error}");
            return;
        }
    };
    let id = client.attachment.id().clone();
    tracing::debug!(connection = %id, "attached");
    let mut connection = Connection {
        heartbeat: Heartbeat::new(
            app.runtime.timer.clone(),
            app.config.ping_interval,
            app.config.pong_timeout,
        ),
        app,
        socket,
        mailbox,
        client,
        items: Vec::new(),
        requests: Vec::new(),
    };
    let end = connection.converse().await;
    tracing::debug!(connection = %id, ?end, "detached");
    // Boxed, for the goodbye would else take 2.5 KiB of every connection while it lives.
    Box::pin(connection.part(end)).await;
}

/// Attaches a new connection with its identity: from here on events reach its mailbox.
async fn attach(
    app: &Arc<App>,
    identity: Identity,
) -> Result<(Client, Receiver), Box<dyn std::error::Error + Send + Sync>> {
    let (sender, mailbox) = mailbox::channel(app.config.capacity(), app.config.overflow());
    let attachment = app
        .plane
        .attach(identity::new_connection()?, sender.into_sink());
    let client = Client {
        app: app.clone(),
        attachment,
        identity,
    };
    match client.identify().await {
        // A drain has begun; the mailbox has ended and the client will be told.
        Ok(()) | Err(AssociateError::Detached) => Ok((client, mailbox)),
        Err(error) => Err(error.into()),
    }
}

/// Why a conversation is over.
#[derive(Debug)]
enum End {
    /// The client said goodbye.
    Left,
    /// The mailbox has ended: the server drains, or the mailbox overflowed and disconnects.
    Mailbox,
    /// The client answered no ping.
    Silent,
    /// The socket failed, or the client broke the protocol.
    Failed(Error),
}

struct Connection<S> {
    app: Arc<App>,
    socket: WebSocketStream<Bounded<S>>,
    mailbox: Receiver,
    client: Client,
    heartbeat: Heartbeat,
    items: Vec<Item>,
    requests: Vec<Message>,
}

/// What one turn has to do beside the items and the requests it found.
#[derive(Default)]
struct Turn {
    ping: bool,
    end: Option<End>,
}

impl<S: Socket> Connection<S> {
    /// Takes turns until one of them is the last.
    async fn converse(&mut self) -> End {
        let welcome = self.client.welcome();
        if let Err(error) = self.socket.send(text(welcome)).await {
            return End::Failed(error);
        }
        loop {
            let turn = poll_fn(|context| self.poll_turn(context)).await;
            if let Some(End::Left) = turn.end {
                // What it asked for before it left is done, and nobody is there to be answered.
                for request in self.requests.drain(..) {
                    answer(&self.client, &request).await;
                }
                return End::Left;
            }
            if let Err(error) = self.write(turn.ping).await {
                return End::Failed(error);
            }
            if let Some(end) = turn.end {
                return end;
            }
        }
    }

    /// Waits until there is something to do and collects it.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        let mut turn = Turn::default();
        if let Poll::Ready(0) = self.mailbox.poll_batch(context, &mut self.items, ITEMS) {
            turn.end = Some(End::Mailbox);
        }
        self.poll_requests(context, &mut turn);
        match self.heartbeat.poll(context) {
            Poll::Ready(Beat::Ping) => turn.ping = true,
            Poll::Ready(Beat::Silent) => turn.end = Some(End::Silent),
            Poll::Pending => {}
        }
        let found = !self.items.is_empty() || !self.requests.is_empty() || turn.ping;
        if found || turn.end.is_some() {
            return Poll::Ready(turn);
        }
        Poll::Pending
    }

    fn poll_requests(&mut self, context: &mut Context<'_>, turn: &mut Turn) {
        for _ in 0..REQUESTS {
            let Poll::Ready(message) = self.socket.poll_next_unpin(context) else {
                return;
            };
            self.heartbeat.hear();
            match message {
                Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                    self.requests.extend(message.and_then(Result::ok));
                }
                // tungstenite answers pings by itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => {
                    turn.end = Some(End::Left);
                    return;
                }
                Some(Err(error)) => {
                    turn.end = Some(End::Failed(error));
                    return;
                }
            }
        }
        // There may be more, and nobody but this task knows: the next turn begins at once.
        context.waker().wake_by_ref();
    }

    /// Writes what the turn found, and flushes once. What was in the mailbox goes before the
    /// answers, so an event that a request lets in never comes before the answer to it.
    async fn write(&mut self, ping: bool) -> Result<(), Error> {
        for item in self.items.drain(..) {
            let message = match item {
                Item::Event(event) | Item::Control(event) => {
                    // The bytes of an event of text are known to be text; a plain text message
                    // would have them checked again for every client.
                    let kind = if event.is_text() {
                        Data::Text
                    } else {
                        Data::Binary
                    };
                    Message::Frame(Frame::message(
                        event.bytes().clone(),
                        OpCode::Data(kind),
                        true,
                    ))
                }
                Item::Lost(count) => {
                    self.app.counts.lose(count);
                    text(Body::Lost { count }.unasked())
                }
                _ => continue,
            };
            self.socket.feed(message).await?;
        }
        for request in self.requests.drain(..) {
            let answer = answer(&self.client, &request).await;
            self.socket.feed(text(answer)).await?;
        }
        if ping {
            self.socket.feed(Message::Ping(Bytes::new())).await?;
        }
        self.socket.flush().await
    }

    /// Detaches the connection, says goodbye where anyone listens, and closes the socket.
    async fn part(self, end: End) {
        let Self {
            app,
            mut socket,
            mailbox,
            client,
            ..
        } = self;
        drop((client, mailbox));
        let polite = match end {
            End::Silent => return,
            End::Left => true,
            End::Mailbox if !app.is_ready() => {
                let reason = "the server is shutting down";
                let closing = Body::Closing { reason }.unasked();
                socket.feed(text(closing)).await.is_ok()
                    && close(&mut socket, CloseCode::Away, reason).await
            }
            End::Mailbox => close(&mut socket, CloseCode::Again, "too slow").await,
            End::Failed(error) => {
                let Some((code, reason)) = blame(&error) else {
                    return;
                };
                if !close(&mut socket, code, reason).await {
                    return;
                }
                false
            }
        };
        let farewell = async move {
            // Until the other side's close frame has come too, and ours is written.
            while polite && matches!(socket.next().await, Some(Ok(_))) {}
            let mut socket = socket.into_inner();
            if socket.close().await.is_ok() {
                let _ = futures::io::copy(socket.take(UNREAD), &mut futures::io::sink()).await;
            }
        };
        let closed = within(&*app.runtime.timer, FAREWELL, farewell).await;
        if closed.is_none() {
            tracing::debug!("a client did not close in time");
        }
    }
}

/// Carries out what a message asks for.
async fn answer(client: &Client, message: &Message) -> String {
    match message {
        Message::Text(request) => client.answer(request).await,
        _ => client.refuse_binary(),
    }
}

fn text(message: String) -> Message {
    Message::Text(message.into())
}

/// Sends a close frame; false if that is of no use any more.
async fn close<S: Socket>(
    socket: &mut WebSocketStream<Bounded<S>>,
    code: CloseCode,
    reason: &'static str,
) -> bool {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    socket.send(Message::Close(Some(frame))).await.is_ok()
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
