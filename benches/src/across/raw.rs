//! The floor: the protocol of a server, prepared beforehand, over one socket each way.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::arrivals::Arrivals;
use super::failed;
use super::route::Route;

/// Publishes that are prepared. For more, the prepared bytes are written again.
const PREPARED: usize = 1_024;

/// The bytes of a server's protocol.
pub(crate) struct Raw {
    /// The publisher's first request, and the end of the server's answer.
    pub(crate) greeting: Option<(&'static str, &'static str)>,
    /// The subscriber's request, and the end of the server's answer.
    pub(crate) subscribe: (&'static str, &'static str),
    pub(crate) publish: Vec<u8>,
    /// What the subscriber receives for a publish.
    pub(crate) message: Vec<u8>,
    /// What the subscriber may receive in between.
    pub(crate) noise: &'static [u8],
}

/// One socket that publishes and one that is subscribed.
pub(crate) struct RawSockets {
    publisher: TcpStream,
    subscriber: TcpStream,
    one: usize,
    prepared: Vec<u8>,
    arrivals: Arc<Arrivals>,
    threads: Vec<JoinHandle<()>>,
}

impl RawSockets {
    pub(crate) fn open(address: SocketAddr, raw: Raw) -> io::Result<Self> {
        let mut subscriber = TcpStream::connect(address)?;
        let mut publisher = TcpStream::connect(address)?;
        for socket in [&subscriber, &publisher] {
            socket.set_nodelay(true)?;
        }
        if let Some((greeting, answer)) = raw.greeting {
            request(&mut publisher, greeting, answer)?;
        }
        request(&mut subscriber, raw.subscribe.0, raw.subscribe.1)?;
        let arrivals = Arc::new(Arrivals::new());
        let threads = vec![
            thread::spawn({
                let (socket, arrivals) = (subscriber.try_clone()?, arrivals.clone());
                move || count(socket, &raw.message, raw.noise, &arrivals)
            }),
            thread::spawn({
                let mut socket = publisher.try_clone()?;
                // The server's answers to the publisher are read, so that the server does not block.
                move || drop(io::copy(&mut socket, &mut io::sink()))
            }),
        ];
        Ok(Self {
            publisher,
            subscriber,
            one: raw.publish.len(),
            prepared: raw.publish.repeat(PREPARED),
            arrivals,
            threads,
        })
    }
}

fn request(socket: &mut TcpStream, request: &str, answer: &str) -> io::Result<()> {
    socket.write_all(request.as_bytes())?;
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    while !received.ends_with(answer.as_bytes()) {
        let length = socket.read(&mut buffer)?;
        if length == 0 {
            return Err(failed(format!("no answer to {request:?}")));
        }
        received.extend_from_slice(&buffer[..length]);
    }
    Ok(())
}

/// Counts the messages that arrive, until the socket is closed or something else comes.
fn count(mut socket: TcpStream, message: &[u8], noise: &[u8], arrivals: &Arrivals) {
    let mut buffer = vec![0; 256 << 10];
    let mut held = 0;
    while let Ok(length @ 1..) = socket.read(&mut buffer[held..]) {
        let end = held + length;
        let (mut at, mut found) = (0, 0);
        loop {
            let rest = &buffer[at..end];
            let noisy = !noise.is_empty() && rest.first() == noise.first();
            let next = if noisy { noise } else { message };
            if rest.len() < next.len() {
                break;
            }
            // All messages are equal, so the beginning is enough to compare.
            if rest[..next.len().min(16)] != next[..next.len().min(16)] {
                return;
            }
            at += next.len();
            found += u64::from(!noisy);
        }
        buffer.copy_within(at..end, 0);
        held = end - at;
        if found > 0 {
            arrivals.add(found);
        }
    }
}

impl Route for RawSockets {
    fn send(&mut self, mut events: usize) -> io::Result<()> {
        while events > 0 {
            let now = events.min(PREPARED);
            self.publisher.write_all(&self.prepared[..now * self.one])?;
            events -= now;
        }
        Ok(())
    }

    fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }
}

impl Drop for RawSockets {
    fn drop(&mut self) {
        for socket in [&self.publisher, &self.subscriber] {
            // The socket may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
