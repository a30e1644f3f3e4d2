//! Two processes over a real Redis that restarts: a WebSocket client of one and an SSE client of the other get every event
//! once and in order, are told of no loss, and are told why the end comes.

use std::net::SocketAddr;
use std::process::Command;

use futures::{SinkExt, StreamExt};
use midplane_testkit::child::{Child, Signal};
use midplane_testkit::server::Server;
use midplane_testkit::{eventually, succeeds, until, within};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

/// The server restarts, in the registry of close codes of RFC 6455.
const RESTART: u16 = 1012;

struct Replica {
    child: Child,
    address: SocketAddr,
}

fn start(redis: &Server) -> Replica {
    let mut command = Command::new(env!("CARGO_BIN_EXE_axum-app"));
    command.env("MIDPLANE_BACKPLANE_URL", redis.url());
    command.env("LISTEN", "127.0.0.1:0");
    let child = Child::start(&command).expect("the program starts");
    let line = child
        .line_with("listening on")
        .unwrap_or_else(|| panic!("{}", child.log()));
    let address = line.rsplit(' ').next().unwrap().parse().unwrap();
    Replica { child, address }
}

impl Replica {
    async fn ask(&self, request: String) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within("an answer", stream.read_to_string(&mut answer))
            .await
            .unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    async fn publish(&self, text: &str) {
        let length = text.len();
        let head = "POST /publish/news HTTP/1.1\r\nhost: h\r\nconnection: close\r\n";
        let status = self
            .ask(format!("{head}content-length: {length}\r\n\r\n{text}"))
            .await;
        assert_eq!(status, "200", "{}", self.child.log());
    }

    async fn is_ready(&self) -> bool {
        let head = "GET /readyz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
        self.ask(head.to_owned()).await == "200"
    }

    async fn socket(&self) -> WebSocketStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let url = format!("ws://{}/ws/news", self.address);
        let builder = ClientBuilder::new().uri(&url).unwrap();
        succeeds("the upgrade", builder.connect_on(stream)).await.0
    }

    /// The lines of the body of an SSE response, behind its head.
    async fn events(&self) -> Lines<BufReader<TcpStream>> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = "GET /sse/news HTTP/1.1\r\nhost: h\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        while !within("the head", lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .is_empty()
        {}
        lines
    }
}

async fn from_socket(socket: &mut WebSocketStream<TcpStream>) -> String {
    loop {
        let message = within("a message", socket.next()).await.unwrap().unwrap();
        if let Some(text) = message.as_text() {
            return text.to_owned();
        }
        assert!(message.is_ping() || message.is_pong(), "{message:?}");
    }
}

/// The next `data` of the stream; another event than a plain one fails.
async fn from_events(lines: &mut Lines<BufReader<TcpStream>>) -> String {
    loop {
        let line = within("a line", lines.next_line()).await.unwrap().unwrap();
        assert!(
            !line.starts_with("event:") && !line.starts_with("retry:"),
            "{line}"
        );
        if let Some(data) = line.strip_prefix("data: ") {
            return data.to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_lose_nothing_while_the_broker_restarts() {
    let redis = Server::redis_with(&[]);
    let (mut one, mut two) = (start(&redis), start(&redis));
    let (mut socket, mut events) = (one.socket().await, two.events().await);
    // What one publishes the other's client gets: both are joined.
    one.publish("first").await;
    assert_eq!(from_socket(&mut socket).await, "first");
    assert_eq!(from_events(&mut events).await, "first");
    // A client's own word goes to the others, and not to itself.
    socket.send(Message::text("said")).await.unwrap();
    assert_eq!(from_events(&mut events).await, "said");

    for number in 0..10 {
        one.publish(&format!("one {number}")).await;
        two.publish(&format!("two {number}")).await;
    }
    redis.kill();
    until_ready(&one, false).await;
    until_ready(&two, false).await;
    for number in 10..20 {
        one.publish(&format!("one {number}")).await;
        two.publish(&format!("two {number}")).await;
    }
    redis.restart();
    until_ready(&one, true).await;
    until_ready(&two, true).await;
    for number in 20..30 {
        one.publish(&format!("one {number}")).await;
        two.publish(&format!("two {number}")).await;
    }
    let expected = |name: &str| {
        (0..30)
            .map(|number| format!("{name} {number}"))
            .collect::<Vec<_>>()
    };
    let mut heard = [Vec::new(), Vec::new()];
    for _ in 0..60 {
        heard[0].push(from_socket(&mut socket).await);
        heard[1].push(from_events(&mut events).await);
    }
    for texts in &heard {
        for name in ["one", "two"] {
            let of: Vec<_> = texts
                .iter()
                .filter(|text| text.starts_with(name))
                .cloned()
                .collect();
            assert_eq!(of, expected(name));
        }
    }

    for replica in [&one, &two] {
        replica.child.signal(Signal::TERM);
    }
    let message = within("the close", socket.next()).await.unwrap().unwrap();
    let (code, _) = message.as_close().expect("a close");
    assert_eq!(u16::from(code), RESTART);
    let mut last = String::new();
    while let Some(line) = within("the end", events.next_line()).await.unwrap() {
        last.push_str(&line);
    }
    assert!(last.contains("retry: "), "{last}");
    drop((socket, events));
    for replica in [&mut one, &mut two] {
        let mut exit = None;
        eventually("the program ends", || {
            exit = replica.child.exited().unwrap();
            exit.is_some()
        })
        .await;
        assert!(exit.unwrap().success(), "{}", replica.child.log());
    }
}

async fn until_ready(replica: &Replica, ready: bool) {
    let ask = async || (replica.is_ready().await == ready).then_some(());
    until(format!("ready: {ready}"), ask).await;
}
