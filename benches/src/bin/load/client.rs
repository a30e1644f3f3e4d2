//! One WebSocket client.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::dialect::{Dialect, Part};
use crate::frames::{self, Frame};

/// How long a server may take for its part of a handshake.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections from one address; the system has some 28,000 ports for each.
const PER_ADDRESS: usize = 20_000;

/// A client after its handshake.
pub(crate) struct Client {
    pub(crate) stream: mio::net::TcpStream,
    pub(crate) part: Part,
    /// The beginning of a frame whose end has not come.
    pub(crate) rest: Vec<u8>,
    pub(crate) unsent: Vec<u8>,
    /// The number of the event that is due next.
    pub(crate) next: u64,
}

impl Client {
    pub(crate) fn connect(
        dialect: Dialect,
        part: Part,
        address: SocketAddr,
        number: usize,
    ) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if number >= PER_ADDRESS {
            let last = (number / PER_ADDRESS + 1) as u8;
            socket.bind(&SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0).into())?;
        }
        socket.connect(&address.into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut rest = upgrade(&mut stream, &dialect.path(part), address)?;
        for (message, wanted) in dialect.greeting(part) {
            if let Some(message) = message {
                stream.write_all(&frames::text(&message))?;
            }
            while !answer_next(dialect, &mut stream, &mut rest, wanted)? {
                more(&mut stream, &mut rest)?;
            }
        }
        // What came with the last answer raises no edge of its own.
        while frames::first(&rest).is_some() {
            answer_next(dialect, &mut stream, &mut rest, "no such answer")?;
        }
        stream.set_nonblocking(true)?;
        rest.shrink_to_fit();
        Ok(Self {
            stream: mio::net::TcpStream::from_std(stream),
            part,
            rest,
            unsent: Vec::new(),
            next: 0,
        })
    }

    /// Writes what is unsent, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Makes a WebSocket of the stream, and gives what came after the server's answer.
fn upgrade(stream: &mut TcpStream, path: &str, address: SocketAddr) -> io::Result<Vec<u8>> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )?;
    let mut rest = Vec::new();
    let end = loop {
        match rest.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None => more(stream, &mut rest)?,
        }
    };
    if !rest.starts_with(b"HTTP/1.1 101") {
        let head = String::from_utf8_lossy(&rest[..end]);
        return Err(io::Error::other(format!("no upgrade but {head}")));
    }
    rest.drain(..end);
    Ok(rest)
}

/// Takes whole frames from `rest` and answers them, up to the message that begins as wanted. Says whether that came.
fn answer_next(
    dialect: Dialect,
    stream: &mut TcpStream,
    rest: &mut Vec<u8>,
    wanted: &str,
) -> io::Result<bool> {
    while let Some((frame, length)) = frames::first(rest) {
        let mut found = false;
        if let Frame::Message(message) = frame {
            found = message.starts_with(wanted.as_bytes());
            if let Some(answer) = dialect.answer(message) {
                stream.write_all(&frames::text(answer))?;
            }
        }
        rest.drain(..length);
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Appends what comes next.
fn more(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4 << 10];
    let read = stream.read(&mut buffer)?;
    if read == 0 {
        return Err(io::Error::other("the server closed during the handshake"));
    }
    into.extend_from_slice(&buffer[..read]);
    Ok(())
}
