//! The clients of one load generator, on one thread.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::client::Client;
use crate::dialect::{Dialect, Part, number};
use crate::frames::{self, Frame};

/// Connected clients have their pings answered each time this many more are connected.
const ANSWERED: usize = 64;

/// An event in flight.
#[derive(Clone, Copy)]
struct InFlight {
    /// The subscribers that the event has not reached.
    missing: usize,
    sent: Instant,
}

/// Subscribers, a publisher, and the events in flight from it to them.
pub(crate) struct Clients {
    poll: Poll,
    ready: Events,
    dialect: Dialect,
    /// The publisher is the last.
    clients: Vec<Client>,
    buffer: Vec<u8>,
    /// The events from `first` on.
    in_flight: VecDeque<InFlight>,
    first: u64,
    /// One per counted delivery, in units of 100 ns.
    latencies: Vec<u32>,
    counts: bool,
}

impl Clients {
    /// Connects the subscribers, then the publisher.
    pub(crate) fn connect(
        dialect: Dialect,
        subscribe: SocketAddr,
        publish: SocketAddr,
        subscribers: usize,
    ) -> io::Result<Self> {
        let mut clients = Self {
            poll: Poll::new()?,
            ready: Events::with_capacity(1_024),
            dialect,
            clients: Vec::with_capacity(subscribers + 1),
            buffer: vec![0; 256 << 10],
            in_flight: VecDeque::new(),
            first: 0,
            latencies: Vec::new(),
            counts: false,
        };
        for number in 0..subscribers {
            clients.add(Part::Subscriber, subscribe)?;
            // Thousands of clients take longer to connect than a server waits for the first pong.
            if number % ANSWERED == 0 {
                clients.turn(Duration::ZERO)?;
            }
        }
        clients.add(Part::Publisher, publish)?;
        Ok(clients)
    }

    fn add(&mut self, part: Part, address: SocketAddr) -> io::Result<()> {
        let number = self.clients.len();
        let mut client = Client::connect(self.dialect, part, address, number)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(&mut client.stream, Token(number), interest)?;
        self.clients.push(client);
        Ok(())
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The number of events that have not reached all subscribers.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The number of the event that is published next.
    pub(crate) fn next_number(&self) -> u64 {
        self.first + self.in_flight.len() as u64
    }

    /// Begins or ends to count deliveries; gives the latencies that were counted.
    pub(crate) fn count(&mut self, counts: bool) -> Vec<u32> {
        self.counts = counts;
        std::mem::take(&mut self.latencies)
    }

    /// Records that the next event is sent, by this value or by the owner of the publisher's socket.
    pub(crate) fn sent(&mut self, sent: Instant) {
        let missing = self.clients.len() - 1;
        self.in_flight.push_back(InFlight { missing, sent });
    }

    /// Publishes the next event, with the next flush.
    pub(crate) fn publish(&mut self, event: &str) {
        self.sent(Instant::now());
        let message = frames::text(&self.dialect.publish(event));
        if let Some(publisher) = self.clients.last_mut() {
            publisher.unsent.extend(message);
        }
    }

    /// Sends what was published.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.clients.last_mut().map_or(Ok(()), Client::flush)
    }

    /// The publisher's socket, for another thread to write to.
    pub(crate) fn publisher(&self) -> io::Result<TcpStream> {
        let publisher = self.clients.last();
        let publisher = publisher.ok_or_else(|| io::Error::other("no publisher"))?;
        Ok(TcpStream::from(
            publisher.stream.as_fd().try_clone_to_owned()?,
        ))
    }

    /// Reads what has come, and waits for that at most this long.
    pub(crate) fn turn(&mut self, most: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.ready, Some(most)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        let ready = self.ready.iter();
        let ready = ready.map(|event| (event.token().0, event.is_readable()));
        for (token, readable) in ready.collect::<Vec<_>>() {
            if readable {
                self.read(token)?;
            }
            self.clients[token].flush()?;
        }
        while self
            .in_flight
            .front()
            .is_some_and(|event| event.missing == 0)
        {
            self.in_flight.pop_front();
            self.first += 1;
        }
        Ok(())
    }

    fn read(&mut self, token: usize) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.read_into(token, &mut buffer);
        self.buffer = buffer;
        read
    }

    fn read_into(&mut self, token: usize, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let client = &mut self.clients[token];
            let held = client.rest.len();
            let read = match client.stream.read(&mut buffer[held..]) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            buffer[..held].copy_from_slice(&client.rest);
            client.rest.clear();
            let now = Instant::now();
            let end = held + read;
            let mut at = 0;
            while let Some((frame, length)) = frames::first(&buffer[at..end]) {
                match frame {
                    Frame::Message(message) => self.message(token, message, now)?,
                    Frame::Ping => self.clients[token].unsent.extend(frames::pong()),
                    Frame::Close => {
                        let why = String::from_utf8_lossy(&buffer[at..at + length]);
                        return Err(io::Error::other(format!("the server closes: {why}")));
                    }
                    Frame::Other => {}
                }
                at += length;
            }
            self.clients[token].rest.extend_from_slice(&buffer[at..end]);
            // Less than there was room for: the next bytes raise an edge of their own.
            if end < buffer.len() {
                return Ok(());
            }
        }
    }

    fn message(&mut self, token: usize, message: &[u8], now: Instant) -> io::Result<()> {
        let client = &mut self.clients[token];
        let Some(event) = self.dialect.event(message) else {
            if let Some(answer) = self.dialect.answer(message) {
                client.unsent.extend(frames::text(answer));
            }
            return Ok(());
        };
        let number = number(event)?;
        if client.part == Part::Publisher {
            return Ok(());
        }
        if number != client.next && self.dialect.keeps_order() {
            let wanted = client.next;
            return Err(io::Error::other(format!(
                "event {number} came where {wanted} was due"
            )));
        }
        client.next += 1;
        let at = number.checked_sub(self.first);
        let event = at.and_then(|at| self.in_flight.get_mut(at as usize));
        let event = event.filter(|event| event.missing > 0);
        let event = event.ok_or_else(|| io::Error::other("an event came twice"))?;
        event.missing -= 1;
        if self.counts {
            let took = now.saturating_duration_since(event.sent);
            self.latencies.push((took.as_nanos() / 100) as u32);
        }
        Ok(())
    }
}
