//! The connections of one load generator, on one thread.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::dialect::{Dialect, Part, number};
use crate::frames::{self, Frame};

/// How long a server may take for its part of a handshake.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections from one address; the system has some 28,000 ports for each.
const PER_ADDRESS: usize = 20_000;

/// After so many more are connected, those that are have their pings answered.
const ANSWERED: usize = 64;

/// One connection after its handshake.
struct Client {
    stream: mio::net::TcpStream,
    part: Part,
    /// The beginning of a frame whose rest has not come.
    rest: Vec<u8>,
    unsent: Vec<u8>,
    /// The number of the event that comes next.
    next: u64,
}

/// An event on its way.
#[derive(Clone, Copy)]
struct Outstanding {
    missing: usize,
    sent: Instant,
}

/// Subscribers and a publisher, and what is on its way from it to them.
pub(crate) struct Swarm {
    poll: Poll,
    ready: Events,
    dialect: Dialect,
    clients: Vec<Client>,
    publisher: usize,
    topics: usize,
    buffer: Vec<u8>,
    /// The events from `first` on.
    outstanding: VecDeque<Outstanding>,
    first: u64,
    /// One per delivery that counts, in units of 100 ns.
    latencies: Vec<u32>,
    counts: bool,
}

/// Where the connections lead.
pub(crate) struct Route {
    pub(crate) dialect: Dialect,
    pub(crate) subscribe: Vec<SocketAddr>,
    pub(crate) publish: SocketAddr,
    pub(crate) clients: usize,
    pub(crate) topics: usize,
}

impl Swarm {
    /// Connects everyone, the publisher last.
    pub(crate) fn connect(route: &Route) -> io::Result<Self> {
        let mut swarm = Self {
            poll: Poll::new()?,
            ready: Events::with_capacity(1_024),
            dialect: route.dialect,
            publisher: route.clients,
            clients: Vec::with_capacity(route.clients + 1),
            topics: route.topics,
            buffer: vec![0; 256 << 10],
            outstanding: VecDeque::new(),
            first: 0,
            latencies: Vec::new(),
            counts: false,
        };
        for number in 0..route.clients {
            let part = Part::Subscriber(number % route.topics);
            swarm.add(part, route.subscribe[number % route.subscribe.len()])?;
            // Thousands take longer to connect than a server waits for the first one's pong.
            if number % ANSWERED == 0 {
                swarm.turn(Duration::ZERO)?;
            }
        }
        swarm.add(Part::Publisher(route.topics), route.publish)?;
        Ok(swarm)
    }

    fn add(&mut self, part: Part, address: SocketAddr) -> io::Result<()> {
        let number = self.clients.len();
        let mut client = Client::connect(self.dialect, part, address, number)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut client.stream, Token(number), interest)?;
        self.clients.push(client);
        Ok(())
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn topics(&self) -> usize {
        self.topics
    }

    /// How many events are published and not with everyone.
    pub(crate) fn in_flight(&self) -> usize {
        self.outstanding.len()
    }

    /// The number of the event that is published next.
    pub(crate) fn next_number(&self) -> u64 {
        self.first + self.outstanding.len() as u64
    }

    /// From here on deliveries are counted; gives what was counted so far.
    pub(crate) fn count(&mut self, counts: bool) -> Vec<u32> {
        self.counts = counts;
        std::mem::take(&mut self.latencies)
    }

    /// Notes that the next event is sent, then or by whoever else has the publisher's socket.
    pub(crate) fn note(&mut self, sent: Instant) -> usize {
        let topic = (self.next_number() % self.topics as u64) as usize;
        let subscribers = self.clients.len() - 1;
        let missing = subscribers / self.topics + usize::from(topic < subscribers % self.topics);
        self.outstanding.push_back(Outstanding { missing, sent });
        topic
    }

    /// Publishes the next event, by the next flush.
    pub(crate) fn publish(&mut self, event: &str) {
        let topic = self.note(Instant::now());
        let message = self.dialect.publish(topic, event);
        let publisher = &mut self.clients[self.publisher];
        publisher.unsent.extend(frames::text(&message));
    }

    /// Sends what was published.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.clients[self.publisher].flush()
    }

    /// The publisher's socket for another thread to write to.
    pub(crate) fn publisher(&self) -> io::Result<TcpStream> {
        use std::os::fd::AsFd;
        let stream = &self.clients[self.publisher].stream;
        Ok(TcpStream::from(stream.as_fd().try_clone_to_owned()?))
    }

    /// Reads what has come, waiting for it no longer than `most`.
    pub(crate) fn turn(&mut self, most: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.ready, Some(most)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        let tokens: Vec<(usize, bool)> = self
            .ready
            .iter()
            .map(|event| (event.token().0, event.is_readable()))
            .collect();
        for (token, readable) in tokens {
            if readable {
                self.read(token)?;
            }
            if !self.clients[token].unsent.is_empty() {
                self.clients[token].flush()?;
            }
        }
        while self
            .outstanding
            .front()
            .is_some_and(|event| event.missing == 0)
        {
            self.outstanding.pop_front();
            self.first += 1;
        }
        Ok(())
    }

    fn read(&mut self, token: usize) -> io::Result<()> {
        loop {
            let client = &mut self.clients[token];
            let held = client.rest.len();
            self.buffer[..held].copy_from_slice(&client.rest);
            client.rest.clear();
            let read = match client.stream.read(&mut self.buffer[held..]) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    client.rest.extend_from_slice(&self.buffer[..held]);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let now = Instant::now();
            let end = held + read;
            let mut at = 0;
            while let Some((frame, length)) = frames::first(&self.buffer[at..end]) {
                at += length;
                match frame {
                    Frame::Message(message) => {
                        if let Some(event) = self.dialect.event(message) {
                            let number = number(event)?;
                            let client = &mut self.clients[token];
                            if matches!(client.part, Part::Publisher(_)) {
                                continue;
                            }
                            if number != client.next && self.dialect.keeps_order() {
                                let wanted = client.next;
                                return Err(io::Error::other(format!(
                                    "event {number} came where {wanted} was due"
                                )));
                            }
                            client.next += self.topics as u64;
                            let event = number
                                .checked_sub(self.first)
                                .and_then(|at| self.outstanding.get_mut(at as usize))
                                .filter(|event| event.missing > 0)
                                .ok_or_else(|| io::Error::other("an event came twice"))?;
                            event.missing -= 1;
                            if self.counts {
                                let took = now.saturating_duration_since(event.sent);
                                self.latencies.push((took.as_nanos() / 100) as u32);
                            }
                        } else if let Some(answer) = self.dialect.answer(message) {
                            self.clients[token].unsent.extend(frames::text(answer));
                        }
                    }
                    Frame::Ping => self.clients[token].unsent.extend(frames::pong()),
                    Frame::Close => {
                        let why = String::from_utf8_lossy(&self.buffer[at - length..at]);
                        return Err(io::Error::other(format!("the server says goodbye: {why}")));
                    }
                    Frame::Other => {}
                }
            }
            self.clients[token]
                .rest
                .extend_from_slice(&self.buffer[at..end]);
            // Less than there was room for: the next bytes raise an edge of their own.
            if end < self.buffer.len() {
                return Ok(());
            }
        }
    }
}

impl Client {
    fn connect(
        dialect: Dialect,
        part: Part,
        address: SocketAddr,
        number: usize,
    ) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if number >= PER_ADDRESS {
            let last = (number / PER_ADDRESS + 1) as u8;
            socket.bind(&SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0).into())?;
        }
        socket.connect(&address.into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let path = dialect.path(part);
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let mut rest = Vec::new();
        let end = loop {
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => more(&mut stream, &mut rest)?,
            }
        };
        if !rest.starts_with(b"HTTP/1.1 101") {
            let head = String::from_utf8_lossy(&rest[..end]);
            return Err(io::Error::other(format!("no upgrade but {head}")));
        }
        rest.drain(..end);
        for (said, wanted) in dialect.greeting(part) {
            if let Some(said) = said {
                stream.write_all(&frames::text(&said))?;
            }
            loop {
                while frames::first(&rest).is_none() {
                    more(&mut stream, &mut rest)?;
                }
                let Some((frame, length)) = frames::first(&rest) else {
                    continue;
                };
                let mut found = false;
                if let Frame::Message(text) = frame {
                    found = text.starts_with(wanted.as_bytes());
                    if let Some(answer) = dialect.answer(text) {
                        stream.write_all(&frames::text(answer))?;
                    }
                }
                rest.drain(..length);
                if found {
                    break;
                }
            }
        }
        // What came with the last answer waits for no edge of its own.
        while let Some((frame, length)) = frames::first(&rest) {
            if let Frame::Message(text) = frame
                && let Some(answer) = dialect.answer(text)
            {
                stream.write_all(&frames::text(answer))?;
            }
            rest.drain(..length);
        }
        stream.set_nonblocking(true)?;
        let next = match part {
            Part::Subscriber(topic) => topic as u64,
            Part::Publisher(_) => 0,
        };
        rest.shrink_to_fit();
        Ok(Self {
            stream: mio::net::TcpStream::from_std(stream),
            part,
            rest,
            unsent: Vec::new(),
            next,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
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
