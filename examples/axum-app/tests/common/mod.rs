//! Programs of HTTP as child processes, and their clients.

use std::net::SocketAddr;
use std::process::Command;

use futures::StreamExt;
use midplane_testkit::child::{Child, Signal};
use midplane_testkit::{eventually, succeeds, within};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpSocket, TcpStream};
use tokio_websockets::{ClientBuilder, WebSocketStream};

/// The server restarts, in the registry of close codes of RFC 6455.
pub(crate) const RESTART: u16 = 1012;

pub(crate) type Socket = WebSocketStream<TcpStream>;
pub(crate) type Events = Lines<BufReader<TcpStream>>;

pub(crate) struct Program {
    pub(crate) child: Child,
    address: SocketAddr,
}

impl Program {
    /// Starts a program, on a backplane of this URL or without any.
    pub(crate) fn start(program: &str, url: Option<&str>) -> Self {
        let mut command = Command::new(program);
        command.env_remove("MIDPLANE_BACKPLANE_URL");
        command.envs(url.map(|url| ("MIDPLANE_BACKPLANE_URL", url)));
        command.env("LISTEN", "127.0.0.1:0");
        let child = Child::start(&command).expect("the program starts");
        let line = child
            .line_with("listening on")
            .unwrap_or_else(|| panic!("{}", child.log()));
        let address = line.rsplit(' ').next().unwrap().parse().unwrap();
        Self { child, address }
    }

    /// The status and the rest of what answers `request`, as `GET /`, with this body.
    pub(crate) async fn ask(&self, request: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let head = format!("{request} HTTP/1.1\r\nhost: h\r\nconnection: close");
        let request = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within("an answer", stream.read_to_string(&mut answer))
            .await
            .unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        (status.to_owned(), answer.clone())
    }

    /// Asks what must be answered with 200.
    pub(crate) async fn succeeds(&self, request: &str, body: &str) -> String {
        let (status, answer) = self.ask(request, body).await;
        assert_eq!(status, "200", "{answer}\n{}", self.child.log());
        answer
    }

    pub(crate) async fn socket(&self, path: &str) -> Socket {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let url = format!("ws://{}{path}", self.address);
        let builder = ClientBuilder::new().uri(&url).unwrap();
        succeeds("the upgrade", builder.connect_on(stream)).await.0
    }

    /// The lines of the body of an SSE response, behind its head. The system holds little of what is not read yet.
    pub(crate) async fn events(&self, path: &str) -> Events {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n");
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

    /// Asks the program to end.
    pub(crate) fn stop(&self) {
        self.child.signal(Signal::INT);
    }

    /// Waits until the program has ended well.
    pub(crate) async fn stopped(mut self) {
        let mut exit = None;
        eventually("the program ends", || {
            exit = self.child.exited().unwrap();
            exit.is_some()
        })
        .await;
        assert!(exit.unwrap().success(), "{}", self.child.log());
    }
}

/// The next text of the socket.
pub(crate) async fn text(socket: &mut Socket) -> String {
    loop {
        let message = within("a message", socket.next()).await.unwrap().unwrap();
        if let Some(text) = message.as_text() {
            return text.to_owned();
        }
        assert!(message.is_ping() || message.is_pong(), "{message:?}");
    }
}

/// The code that the socket is closed with. With that of a restart comes the time to come back, in front of it.
pub(crate) async fn close_code(socket: &mut Socket) -> u16 {
    let mut hinted = false;
    loop {
        let message = within("the close", socket.next()).await.unwrap().unwrap();
        if let Some((code, _)) = message.as_close() {
            let code = code.into();
            assert_eq!(hinted, code == RESTART, "{code}");
            return code;
        }
        let text = message.as_text().expect("a close");
        assert!(text.contains(r#""return_after_ms":"#), "{text}");
        hinted = true;
    }
}

/// The next block of the stream: the name of its event, empty for a plain one, and its data. `None` at the end.
pub(crate) async fn block(lines: &mut Events) -> Option<(String, String)> {
    let mut event = String::new();
    while let Some(line) = within("a line", lines.next_line()).await.unwrap() {
        if let Some(name) = line.strip_prefix("event: ") {
            event = name.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            return Some((event, data.to_owned()));
        } else if line.starts_with("retry: ") {
            return Some(("retry".to_owned(), line));
        }
    }
    None
}

/// The data of the next block, which must be a plain event.
pub(crate) async fn data(lines: &mut Events) -> String {
    let (event, data) = block(lines).await.expect("the stream goes on");
    assert_eq!(event, "", "{data}");
    data
}
