//! A plain HTTP client on a raw socket: it sends exactly what it is told, however wrong.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use midplane_testkit::{succeeds, within};

use crate::endpoint::Endpoint;

/// A connected socket whose receive buffer is as small as the system lets it be, so that a peer
/// that writes notices early that nobody reads.
pub(crate) async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    // The size must be set before connecting, for it bounds the window that is announced.
    socket.set_recv_buffer_size(1024).expect("a buffer size");
    succeeds("a connection", socket.connect(address)).await
}

/// A connected socket of the loopback address that ends in this number.
pub(crate) async fn connect_from(last: u8, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let own = SocketAddr::from(([127, 0, 0, last], 0));
    socket.bind(own).expect("an address of this machine");
    succeeds("a connection", socket.connect(address)).await
}

/// A connected socket.
pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    succeeds("a connection", TcpStream::connect(address)).await
}

/// A request, with `host` and `connection: close` unless told otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    /// Whether a `Host` is written where no header is one.
    host: bool,
    body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: &str) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            host: true,
            body: None,
        }
    }

    /// A request to publish.
    pub(crate) fn publish(body: impl AsRef<[u8]>) -> Self {
        Self::new("POST", "/publish").body(body)
    }

    /// A request to upgrade to a WebSocket, correct in itself.
    pub(crate) fn upgrade(path: &str) -> Self {
        Self::new("GET", path)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    /// Adds a header, beside others of this name.
    pub(crate) fn line(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Leaves the `Host` out.
    pub(crate) fn without_host(mut self) -> Self {
        self.host = false;
        self
    }

    /// Sets a header, in place of one of this name.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// The request as it goes over the wire.
    pub(crate) fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        let has = |name| self.headers.iter().any(|(other, _)| *other == name);
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if self.host && !has("host") {
            head += &format!("host: {address}\r\n");
        }
        if !has("connection") {
            head += "connection: close\r\n";
        }
        if let Some(body) = &self.body
            && !has("transfer-encoding")
        {
            head += &format!("content-length: {}\r\n", body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }

    /// Sends the request on a connection of its own and reads the answer.
    pub(crate) async fn send(&self, address: SocketAddr) -> Answer {
        let mut stream = BufReader::new(connect(address).await);
        // A server may refuse a body before it has read it; what it answered is still there to read.
        let _ = within("the request leaves", stream.write_all(&self.bytes(address))).await;
        let what = format!("an answer to {} {}", self.method, self.path);
        within(what, Answer::read(&mut stream)).await
    }

    /// Sends the request on a connection of its own; `None` if the server is gone before it answers.
    pub(crate) async fn try_send(&self, address: SocketAddr) -> Option<Answer> {
        let mut stream = BufReader::new(TcpStream::connect(address).await.ok()?);
        stream.write_all(&self.bytes(address)).await.ok()?;
        Answer::read_or_end(&mut stream).await
    }

    /// Sends the request on a connection of its own, which must be answered with this status.
    pub(crate) async fn answered(&self, server: &Endpoint, status: u16) -> Answer {
        let answer = self.send(server.address).await;
        let headers = &self.headers;
        let body = String::from_utf8_lossy(self.body.as_deref().unwrap_or_default());
        let body: String = body.chars().take(500).collect();
        let request = format!("{} {} {headers:?} {body:?}", self.method, self.path);
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        answer
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// Reads one answer; what came behind it stays in the buffer.
    pub(crate) async fn read(stream: &mut BufReader<TcpStream>) -> Self {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = stream.read_line(&mut head).await;
            assert_ne!(read.expect("the head arrives"), 0, "{head:?} has no end");
        }
        let (line, headers) = head.split_once("\r\n").expect("the head ends in lines");
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|line| line.get(..3)?.parse().ok());
        let mut answer = Self {
            status: status.unwrap_or_else(|| panic!("no status line in {head:?}")),
            headers: headers
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
            body: Vec::new(),
        };
        let length = answer.header("content-length");
        let length = length.map(|length| length.parse().expect("a length"));
        let read = match length {
            _ if answer.status == 101 => Ok(0),
            Some(length) => {
                answer.body.resize(length, 0);
                stream.read_exact(&mut answer.body).await
            }
            None => stream.read_to_end(&mut answer.body).await,
        };
        read.expect("the body arrives");
        answer
    }

    /// Reads one answer; `None` where the socket ends before it begins.
    pub(crate) async fn read_or_end(stream: &mut BufReader<TcpStream>) -> Option<Self> {
        let begun = stream.fill_buf().await.is_ok_and(|bytes| !bytes.is_empty());
        match begun {
            true => Some(Self::read(stream).await),
            false => None,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(other, _)| other == name)?;
        Some(value)
    }

    /// Whether the content type begins with this text.
    pub(crate) fn is(&self, kind: &str) -> bool {
        let content = self.header("content-type");
        content.is_some_and(|content| content.starts_with(kind))
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("the body is text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.body.escape_ascii()))
    }

    /// The count in the answer to a publish.
    pub(crate) fn delivered(&self) -> u64 {
        self.json()["delivered"]
            .as_u64()
            .unwrap_or_else(|| panic!("no count in {self:?}"))
    }
}
