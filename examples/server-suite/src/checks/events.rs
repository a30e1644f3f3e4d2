//! Server-sent events: a connection like a WebSocket's, without requests.

use midplane_testkit::child::Signal;
use midplane_testkit::{succeeds, until, within};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::checks::missed::Pair;
use crate::fixture::{Endpoint, Program, target};
use crate::flags;
use crate::http::{Request, connect};

/// A client of `GET /events`.
struct Events {
    stream: BufReader<TcpStream>,
    head: String,
    /// What came of the body and is no whole block yet.
    body: String,
}

impl Events {
    /// Asks for events with this query, which must be answered with them.
    async fn open(server: &Endpoint, query: &str) -> Self {
        let mut stream = BufReader::new(connect(server.address).await);
        let request = Request::new("GET", &format!("/events?{query}"));
        let request = request
            .header("connection", "keep-alive")
            .bytes(server.address);
        succeeds("the request leaves", stream.write_all(&request)).await;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = within("the head", stream.read_line(&mut head)).await;
            assert_ne!(read.expect("the head arrives"), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let body = String::new();
        Self { stream, head, body }
    }

    /// The next block that is no comment: its event and its data; `None` at the end.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            while let Some((block, rest)) = self.body.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.body = rest;
                let field = |name: &str| {
                    let lines = block.lines().filter_map(|line| line.strip_prefix(name));
                    lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
                };
                if let Some(retry) = block.strip_prefix("retry: ") {
                    return Some(("retry".into(), retry.into()));
                }
                if !block.starts_with(':') {
                    return Some((field("event:"), field("data:")));
                }
            }
            let mut size = String::new();
            let read = within("a chunk", self.stream.read_line(&mut size)).await;
            if read.expect("a chunk") == 0 {
                return None;
            }
            let size = usize::from_str_radix(size.trim(), 16).expect("the size of a chunk");
            let mut chunk = vec![0; size + 2];
            let read = within("a chunk", self.stream.read_exact(&mut chunk)).await;
            read.expect("a whole chunk");
            if size == 0 {
                return None;
            }
            self.body += str::from_utf8(&chunk[..size]).expect("the body is text");
        }
    }

    /// The next event, which must come before anything else.
    async fn event(&mut self) -> String {
        match self.next().await {
            Some((name, data)) if name.is_empty() => data,
            other => panic!("an event comes next, and not {other:?}"),
        }
    }

    /// The next message of the server's own, which must be of this kind.
    async fn own(&mut self, kind: &str) -> Value {
        let next = self.next().await;
        let (name, data) = next.unwrap_or_else(|| panic!("the end, and not {kind}"));
        assert_eq!(name, kind, "{data}");
        let own: Value = serde_json::from_str(&data).expect("the server's own are JSON");
        assert_eq!(own["midplane"], kind);
        own
    }

    /// The connection of the welcome, which must come first.
    async fn welcomed(&mut self) -> Value {
        let welcome = self.own("welcome").await;
        target("connection", welcome["connection"].as_str().expect("an id"))
    }
}

/// A stream has the identity of its query, its user's events and those of its topics, and holds a place of a connection, not
/// of a request, for as long as its client is there.
pub async fn a_stream_is_a_connection(program: Program) {
    let server = program.start(flags::FEW_OF_ALL);
    let mut events = Events::open(&server, "user=ada&org=o&topic=tea&topic=a%2Fb").await;
    let head = events.head.to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    let connection = events.welcomed().await;
    for topic in ["tea", "a/b"] {
        let joined = events.own("joined").await;
        assert_eq!(joined["topic"], topic);
        assert_eq!(joined["reach"], "everywhere");
    }
    for (number, target) in [
        target("user", "ada"),
        target("org", "o"),
        target("topic", "tea"),
        target("topic", "a/b"),
        connection,
    ]
    .iter()
    .enumerate()
    {
        server.delivers(target, &number.to_string(), 1).await;
        assert_eq!(events.event().await, number.to_string());
    }
    server.delivers(&target("user", "bob"), "1", 0).await;
    server.settles_at(1).await;
    until(
        "only the socket that asks has a place of HTTP",
        async || {
            let health = server.get("/healthz", 200).await.json();
            (health["sockets"] == 1).then_some(())
        },
    )
    .await;
    let second = Events::open(&server, "user=ada").await;
    Request::new("GET", "/events").answered(&server, 503).await;
    drop((events, second));
    server.settles_at(0).await;
}

/// A query that names what there is not, or too much, is refused as that of a WebSocket is.
pub async fn a_bad_stream_is_refused(program: Program) {
    let server = program.start(flags::FEW_OF_ALL);
    let many = "topic=t".to_owned() + &(0..9).map(|n| format!("&topic={n}")).collect::<String>();
    let long = format!("topic={}", "x".repeat(256));
    for query in [
        "usr=ada",
        "user=a&user=b",
        "topic=",
        "topic=%ff",
        "session=s",
        &many,
        &long,
    ] {
        let path = format!("/events?{query}");
        Request::new("GET", &path).answered(&server, 400).await;
    }
    let foreign = Request::new("GET", "/events").header("origin", "http://evil.example");
    foreign.answered(&server, 403).await;
    server.settles_at(0).await;
}

/// A stream says what was missed, and apart from it what was lost, each with its number.
pub async fn a_stream_says_what_did_not_come(program: Program) {
    let pair = Pair::start(program, "--mailbox-messages 4").await;
    let mut events = Events::open(&pair.receiver, "topic=tea").await;
    events.welcomed().await;
    events.own("joined").await;
    pair.origin.publish(&target("topic", "tea"), "0").await;
    assert_eq!(events.event().await, "0");
    pair.cut_off(async |origin| {
        assert_eq!(events.own("reach").await["reach"], "here");
        origin.publish(&target("topic", "tea"), "1").await;
    })
    .await;
    let (mut missed, mut reach) = (None, None);
    while missed.is_none() || reach.is_none() {
        let (name, data) = events.next().await.expect("the stream goes on");
        let own: Value = serde_json::from_str(&data).expect("the server's own are JSON");
        match &*name {
            "missed" => missed = Some(own),
            "reach" => reach = Some(own),
            _ => panic!("{name} {data}"),
        }
    }
    let missed = missed.unwrap_or_default();
    assert_eq!(
        (&missed["events"], &missed["exact"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(reach.unwrap_or_default()["reach"], "everywhere");
    // More than a socket and its client's take, so that the mailbox overflows.
    let event = format!("\"{}\"", "x".repeat(60 << 10));
    let (mut got, mut lost) = (0, 0);
    for _ in 0..256 {
        pair.receiver.publish(&target("topic", "tea"), &event).await;
    }
    while got + lost < 256 {
        match events.next().await {
            Some((name, _)) if name.is_empty() => got += 1,
            Some((name, data)) if name == "lost" => {
                let own: Value = serde_json::from_str(&data).expect("the server's own are JSON");
                lost += own["count"].as_u64().expect("a number");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(lost > 0 && got > 0, "{got} {lost}");
}

/// A drain ends a stream with the time after which its client is to come back; a client that an operator disconnects is
/// told that, and not to come back.
pub async fn a_stream_says_why_it_ends(program: Program) {
    let mut server = program.start("");
    let mut ada = Events::open(&server, "user=ada").await;
    let mut bob = Events::open(&server, "user=bob").await;
    for events in [&mut ada, &mut bob] {
        events.welcomed().await;
    }
    let body = json!({"target": target("user", "ada")}).to_string();
    let disconnect = Request::new("POST", "/disconnect").body(body);
    assert_eq!(
        disconnect.answered(&server, 200).await.json()["connections"],
        1
    );
    ada.own("closing").await;
    assert_eq!(ada.next().await, None);
    server.delivers(&target("user", "bob"), "1", 1).await;
    server.signal(Signal::TERM);
    assert_eq!(bob.event().await, "1");
    let (name, retry) = bob.next().await.expect("a last block");
    assert_eq!(name, "retry");
    assert!(
        retry.parse::<u64>().is_ok_and(|retry| retry >= 1_000),
        "{retry}"
    );
    assert_eq!(bob.next().await, None);
    server.ends_with(0).await;
}
