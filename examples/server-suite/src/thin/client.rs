//! The clients: on thin links, prompt, and those that never read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use midplane_testkit::succeeds;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

use super::link::ThinLink;
use crate::endpoint::Endpoint;
use crate::http::{Request, connect};

/// What a client on a thin link has got.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) bytes: AtomicU64,
    pub(super) events: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) ended: AtomicBool,
}

/// Connects over a stream and joins a topic.
async fn join<S: AsyncRead + AsyncWrite + Unpin>(
    server: Endpoint,
    stream: S,
    topic: &str,
) -> WebSocketStream<S> {
    let url = format!("ws://{}/ws", server.address);
    let builder = ClientBuilder::new().uri(&url).expect("a url");
    let (mut socket, _) = succeeds("the upgrade", builder.connect_on(stream)).await;
    let join = json!({"request": "join", "topic": topic}).to_string();
    succeeds("the join leaves", socket.send(Message::text(join))).await;
    socket
}

/// Counts what comes over a link of this many bytes a second, until the connection ends.
pub(super) async fn read_slowly(server: Endpoint, topic: &str, rate: usize, count: Arc<Count>) {
    let (reader, writer) = connect(server.address).await.into_split();
    let link = tokio::io::join(ThinLink::new(reader, rate), writer);
    let mut socket = join(server, link, topic).await;
    while let Some(Ok(message)) = socket.next().await {
        let Some(text) = message.as_text() else {
            continue;
        };
        count.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
        let said: Value = serde_json::from_str(text).expect("the server speaks JSON");
        match said["midplane"].as_str() {
            None => count.events.fetch_add(1, Ordering::Relaxed),
            Some("lost") => {
                let lost = said["count"].as_u64().expect("a count");
                count.lost.fetch_add(lost, Ordering::Relaxed)
            }
            Some(_) => 0,
        };
    }
    count.ended.store(true, Ordering::Relaxed);
}

/// A connection in a topic that is never read.
pub(super) async fn never_read(server: Endpoint, topic: &str) -> TcpStream {
    let mut stream = connect(server.address).await;
    let upgrade = Request::upgrade("/ws").bytes(server.address);
    let join = json!({"request": "join", "topic": topic}).to_string();
    // A masked frame of text below 126 bytes, masked by zeros.
    let length = u8::try_from(join.len()).expect("a short frame");
    let frame = [&[0x81, 0x80 | length, 0, 0, 0, 0], join.as_bytes()].concat();
    succeeds("the handshake leaves", stream.write_all(&upgrade)).await;
    succeeds("the join leaves", stream.write_all(&frame)).await;
    stream
}

/// Times from publish to arrival of so many events, published this often to a topic that its own client alone is in.
pub(super) async fn latencies(server: Endpoint, count: usize, every: Duration) -> Vec<Duration> {
    let mut socket = join(server, connect(server.address).await, "calm").await;
    let mut latencies = Vec::with_capacity(count);
    let mut due = tokio::time::interval(every);
    let request = r#"{"request":"publish","target":{"type":"topic","id":"calm"},"event":1}"#;
    while latencies.len() < count {
        due.tick().await;
        let called = Instant::now();
        succeeds("the event leaves", socket.send(Message::text(request))).await;
        loop {
            let message =
                succeeds("an event", async { socket.next().await.expect("one more") }).await;
            if message.as_text() == Some("1") {
                break;
            }
        }
        latencies.push(called.elapsed());
    }
    latencies
}
