//! A WebSocket client that tells events from the server's own messages.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

use midplane_testkit::{succeeds, within};

use crate::endpoint::{Endpoint, target};
use crate::http::{connect, narrow};

/// A peer that has taken nothing for this time is holding its client back. Were it merely slow, a
/// check would end early and still hold.
const HELD_BACK: Duration = Duration::from_secs(2);

static FENCES: AtomicU64 = AtomicU64::new(0);

/// What arrives at a client.
#[derive(Debug, PartialEq)]
pub(crate) enum Arrival {
    /// An event, as it was written.
    Event(String),
    /// A message of the server's own.
    Own(Value),
    /// A close frame with its code.
    Close(u16),
    /// The connection is gone: cleanly after a close frame, else with an error or at an odd place.
    End,
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    server: Endpoint,
    /// What arrived while something else was waited for.
    stash: VecDeque<Arrival>,
    requests: u64,
    /// What the server said of how far the connection reaches, unasked, and nobody has taken yet.
    reaches: VecDeque<String>,
    /// The first message.
    pub(crate) welcome: Value,
    /// The id of this connection.
    pub(crate) connection: String,
}

impl Client {
    /// Connects with an identity such as `user=u1&org=o1` and takes the welcome, which must be the
    /// first message.
    pub(crate) async fn connect(server: &Endpoint, identity: &str) -> Self {
        Self::over(connect(server.address).await, server, identity).await
    }

    /// Connects with a receive buffer as small as can be.
    pub(crate) async fn narrow(server: &Endpoint, identity: &str) -> Self {
        Self::over(narrow(server.address).await, server, identity).await
    }

    async fn over(stream: TcpStream, server: &Endpoint, identity: &str) -> Self {
        let url = format!("ws://{}/ws?{identity}", server.address);
        let builder = ClientBuilder::new().uri(&url).expect("a url");
        let (socket, _) = succeeds("the upgrade", builder.connect_on(stream)).await;
        let mut client = Self {
            socket,
            server: *server,
            stash: VecDeque::new(),
            requests: 0,
            reaches: VecDeque::new(),
            welcome: Value::Null,
            connection: String::new(),
        };
        client.welcome = match client.next().await {
            Arrival::Own(welcome) if welcome["midplane"] == "welcome" => welcome,
            first => panic!("the welcome comes first, and not {first:?}"),
        };
        let id = client.welcome["connection"].as_str();
        client.connection = id.expect("the id is text").into();
        client
    }

    /// The target that is this connection.
    pub(crate) fn target(&self) -> Value {
        target("connection", &self.connection)
    }

    /// What arrives next.
    pub(crate) async fn next(&mut self) -> Arrival {
        match self.stash.pop_front() {
            Some(arrival) => arrival,
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> Arrival {
        loop {
            if let Some(arrival) = self.take_in().await {
                return arrival;
            }
        }
    }

    /// Takes in a message of the socket: what arrives, or nothing if the message says how far the connection reaches,
    /// which a client may be told at any time and keeps apart.
    async fn take_in(&mut self) -> Option<Arrival> {
        let Some(Ok(message)) = within("a message", self.socket.next()).await else {
            return Some(Arrival::End);
        };
        match arrival(&message)? {
            Arrival::Own(own) if own["midplane"] == "reach" => {
                let reach = own["reach"].as_str().expect("a reach is a word");
                self.reaches.push_back(reach.into());
                None
            }
            arrival => Some(arrival),
        }
    }

    /// What arrives next, however long that takes, what the server says of how far the connection reaches with it.
    pub(crate) async fn next_at_any_time(&mut self) -> Arrival {
        if let Some(arrival) = self.stash.pop_front() {
            return arrival;
        }
        loop {
            let Some(Ok(message)) = self.socket.next().await else {
                return Arrival::End;
            };
            if let Some(arrival) = arrival(&message) {
                return arrival;
            }
        }
    }

    /// How far the connection reaches, as the server says next, unasked. What else arrives is kept.
    pub(crate) async fn reach(&mut self) -> String {
        loop {
            if let Some(reach) = self.reaches.pop_front() {
                return reach;
            }
            match self.take_in().await {
                Some(end @ (Arrival::Close(_) | Arrival::End)) => {
                    panic!(
                        "a reach comes, and not {end:?}; before it came {:?}",
                        self.stash
                    )
                }
                arrival => self.stash.extend(arrival),
            }
        }
    }

    /// Checks that the server has said nothing of the reach that was not taken.
    pub(crate) fn reaches_as_before(&self) {
        assert!(self.reaches.is_empty(), "{:?}", self.reaches);
    }

    /// The next event; that anything else comes first is a failure.
    pub(crate) async fn event(&mut self) -> String {
        match self.next().await {
            Arrival::Event(event) => event,
            other => panic!("an event comes next, and not {other:?}"),
        }
    }

    /// The next message of the server's own; events before it are kept.
    pub(crate) async fn own(&mut self) -> Value {
        self.own_with(|_| true).await
    }

    async fn own_with(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let mut kept = VecDeque::new();
        loop {
            match self.next().await {
                Arrival::Own(own) if wanted(&own) => {
                    kept.append(&mut self.stash);
                    self.stash = kept;
                    return own;
                }
                end @ (Arrival::Close(_) | Arrival::End) => {
                    panic!("an answer comes, and not {end:?}; before it came {kept:?}")
                }
                other => kept.push_back(other),
            }
        }
    }

    /// Sends a text message as it is.
    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.send_message(Message::text(text.into())).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        succeeds("the message leaves", self.socket.send(message)).await;
    }

    /// Sends a message of any kind, which the server may refuse to read.
    pub(crate) async fn try_send(&mut self, message: Message) {
        let _ = within("the message leaves or fails", self.socket.send(message)).await;
    }

    /// Whether a message can be sent without waiting for anything but the sending itself to be
    /// scheduled: not once the peer reads no more and every buffer on the way is full, nor once the
    /// connection is gone.
    pub(crate) async fn sends_at_once(&mut self, text: &str) -> bool {
        let send = self.socket.send(Message::text(text.to_owned()));
        matches!(tokio::time::timeout(HELD_BACK, send).await, Ok(Ok(())))
    }

    /// Sends a request and returns its answer.
    pub(crate) async fn request(&mut self, mut request: Value) -> Value {
        self.requests += 1;
        let id = json!(self.requests);
        request["id"] = id.clone();
        self.send(request.to_string()).await;
        self.own_with(|own| own["id"] == id).await
    }

    /// Sends a request that must be answered in this way.
    pub(crate) async fn must(&mut self, request: Value, answer: &str) -> Value {
        let said = self.request(request.clone()).await;
        assert_eq!(said["midplane"], answer, "{request} was answered {said}");
        said
    }

    /// Sends a request that must be refused, and returns the code.
    pub(crate) async fn refused(&mut self, request: Value) -> String {
        let error = self.must(request, "error").await;
        error_code(&error)
    }

    pub(crate) async fn join(&mut self, topic: &str) {
        let request = json!({"request": "join", "topic": topic});
        let joined = self.must(request, "joined").await;
        assert_eq!(joined["topic"], topic);
    }

    pub(crate) async fn leave(&mut self, topic: &str) {
        let request = json!({"request": "leave", "topic": topic});
        let left = self.must(request, "left").await;
        assert_eq!(left["topic"], topic);
    }

    /// Creates a session and returns its id.
    pub(crate) async fn create_session(&mut self, agent: &str) -> String {
        let request = json!({"request": "create_session", "agent": agent});
        let session = self.must(request, "session").await;
        assert_eq!(session["agent"], agent);
        session["session"].as_str().expect("a session").into()
    }

    pub(crate) async fn resume_session(&mut self, session: &str) {
        let request = json!({"request": "resume_session", "session": session});
        let resumed = self.must(request, "session").await;
        assert_eq!(resumed["session"], session);
    }

    /// Publishes through this client, which must be accepted by this many connections.
    pub(crate) async fn publishes(
        &mut self,
        target: &Value,
        event: &Value,
        exclude_self: bool,
        connections: u64,
    ) {
        let request = json!({
            "request": "publish", "target": target, "event": event, "exclude_self": exclude_self
        });
        let published = self.must(request, "published").await;
        assert_eq!(published["accepted"], connections, "{event} to {target}");
    }

    /// All events that arrived before a fence that is published to this connection now. That
    /// anything else arrived is a failure. What the server handed over before the fence arrives
    /// before it, so the list is complete.
    pub(crate) async fn events(&mut self) -> Vec<String> {
        let number = FENCES.fetch_add(1, Ordering::Relaxed);
        let fence = json!({ "fence": number }).to_string();
        self.server.delivers(&self.target(), &fence, 1).await;
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            if event == fence {
                return events;
            }
            events.push(event);
        }
    }

    /// Checks that these events, and nothing else, arrived before a fence that is published now.
    pub(crate) async fn got<E: AsRef<str>>(&mut self, expected: &[E]) {
        let events = self.events().await;
        let expected: Vec<_> = expected.iter().map(AsRef::as_ref).collect();
        assert_eq!(events, expected);
    }

    /// Checks that nothing arrived before a fence that is published now.
    pub(crate) async fn got_nothing(&mut self) {
        self.got::<&str>(&[]).await;
    }

    /// Closes cleanly.
    pub(crate) async fn close(mut self) {
        succeeds("the close leaves", self.socket.close()).await;
        while self.next().await != Arrival::End {}
    }

    /// Sends text messages in as few writes as the system lets them be.
    pub(crate) async fn send_together(&mut self, texts: &[String]) {
        let stream = self.socket.get_ref();
        stream.set_nodelay(true).expect("the socket is open");
        for text in texts {
            succeeds(
                "the message is taken",
                self.socket.feed(Message::text(text.clone())),
            )
            .await;
        }
        succeeds("the messages leave", self.socket.flush()).await;
    }

    /// Ends the stream that the peer reads, with no close frame before, and reads on to the peer's end.
    pub(crate) async fn end(mut self) {
        let stream = self.socket.get_mut();
        succeeds("the end leaves", AsyncWriteExt::shutdown(stream)).await;
        while self.next().await != Arrival::End {}
    }

    /// Closes the socket with answers unread on it: what was sent arrives, and then a reset.
    pub(crate) fn kill_unread(self) {}

    /// Kills the connection: the peer gets a reset and no goodbye.
    pub(crate) fn kill(self) {
        let stream = self.socket.get_ref();
        stream.set_zero_linger().expect("the socket is open");
    }
}

/// What a message says, unless it is a ping or a pong.
fn arrival(message: &Message) -> Option<Arrival> {
    if let Some((code, _)) = message.as_close() {
        return Some(Arrival::Close(code.into()));
    }
    if message.is_binary() {
        panic!("a binary message: {message:?}");
    }
    let text = message.as_text()?;
    Some(match serde_json::from_str::<Value>(text) {
        Ok(own) if own.get("midplane").is_some() => Arrival::Own(own),
        _ => Arrival::Event(text.into()),
    })
}

/// The code of an error message, which must also have words for people.
pub(crate) fn error_code(error: &Value) -> String {
    assert_eq!(error["midplane"], "error", "{error}");
    let text = |key: &str| {
        error[key]
            .as_str()
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| panic!("{error} has no {key}"))
    };
    text("message");
    text("code").into()
}
