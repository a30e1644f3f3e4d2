//! axum in three ways, by the one argument: `plain` is what axum's examples show, tokio's broadcast channel and one write
//! per message; `tuned` has a read buffer of 4 KiB; `split` has that, and a task per client that feeds all queued messages
//! and flushes once.

use std::io;

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::any;
use futures::{SinkExt, StreamExt};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, Sender, channel};

/// Events that a slow client may be behind.
const BEHIND: usize = 256;

#[derive(Clone)]
struct App {
    room: Sender<Utf8Bytes>,
    tuned: bool,
    split: bool,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let way = std::env::args().nth(1).unwrap_or_default();
    let app = App {
        room: channel(BEHIND).0,
        tuned: way != "plain",
        split: way == "split",
    };
    let router = Router::new().route("/ws", any(upgrade)).with_state(app);
    peers::serve(router).await
}

async fn upgrade(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let publisher = query.is_some_and(|query| query.starts_with("publisher"));
    let upgrade = if app.tuned {
        upgrade.read_buffer_size(4 << 10)
    } else {
        upgrade
    };
    upgrade.on_upgrade(move |socket| async move {
        // A client that is gone ends its task, by an error or not.
        let _ = match (publisher, app.split) {
            (true, _) => publish(socket, app.room).await,
            (false, true) => write_apart(socket, app.room.subscribe()).await,
            (false, false) => serve(socket, app.room.subscribe()).await,
        };
    })
}

async fn publish(mut socket: WebSocket, room: Sender<Utf8Bytes>) -> Result<(), axum::Error> {
    while let Some(message) = socket.recv().await {
        if let Message::Text(event) = message? {
            // Without subscribers the event goes nowhere.
            let _ = room.send(event);
        }
    }
    Ok(())
}

/// One task, which waits for either side and writes each event as it comes.
async fn serve(mut socket: WebSocket, mut room: Receiver<Utf8Bytes>) -> Result<(), axum::Error> {
    loop {
        tokio::select! {
            event = room.recv() => match event {
                Ok(event) => socket.send(Message::Text(event)).await?,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            message = socket.recv() => match message {
                Some(message) => drop(message?),
                None => return Ok(()),
            },
        }
    }
}

async fn write_apart(socket: WebSocket, mut room: Receiver<Utf8Bytes>) -> Result<(), axum::Error> {
    let (mut sink, mut stream) = socket.split();
    let writer = tokio::spawn(async move {
        while let Ok(event) = room.recv().await {
            sink.feed(Message::Text(event)).await?;
            loop {
                match room.try_recv() {
                    Ok(event) => sink.feed(Message::Text(event)).await?,
                    Err(TryRecvError::Lagged(_)) => {}
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            sink.flush().await?;
        }
        Ok::<(), axum::Error>(())
    });
    while let Some(message) = stream.next().await {
        message?;
    }
    writer.abort();
    Ok(())
}
