//! Between a server and its client: a proxy that misbehaves on command.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// How soon a connection that nobody uses notices that it was reset.
const GLANCE: Duration = Duration::from_millis(10);

/// One of the two directions of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What the client sends.
    ToServer,
    /// What the server sends.
    ToClient,
}

/// A TCP proxy on a loopback port, with faults that can be turned on and off while it runs. All of them
/// act on every connection, those that are open too. Dropping it resets what is open.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A faithful proxy in front of the server at this address.
    ///
    /// # Panics
    /// When no loopback port is free.
    #[must_use]
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        thread::spawn({
            let shared = shared.clone();
            move || shared.accept(&listener, server)
        });
        Self { address, shared }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection that is open. New ones are taken.
    pub fn reset(&self) {
        self.change(|faults| faults.epoch += 1);
    }

    /// Resets the open connections of which `chooses` says so by what the client itself sent there, the first 64 KiB of it;
    /// gives how many these are.
    pub fn reset_where(&self, chooses: impl Fn(&[u8]) -> bool) -> usize {
        let chosen = self.chosen(chooses);
        self.change(|_| {
            let each = chosen.iter();
            each.for_each(|open| open.broken.store(true, Ordering::Relaxed));
        });
        chosen.len()
    }

    /// Resets every connection, those to come too, until [`accept`](Self::accept).
    pub fn refuse(&self) {
        self.change(|faults| {
            faults.refusing = true;
            faults.epoch += 1;
        });
    }

    /// Takes connections again.
    pub fn accept(&self) {
        self.change(|faults| faults.refusing = false);
    }

    /// Leads to another server from now on, as an address does that a failover moves, and resets every connection.
    pub fn lead_to(&self, server: SocketAddr) {
        self.change(|faults| {
            faults.moved = vec![server];
            faults.epoch += 1;
        });
    }

    /// Leads each new connection to the next of these servers, as a name does that has several addresses.
    pub fn lead_in_turn(&self, servers: &[SocketAddr]) {
        self.change(|faults| faults.moved = servers.to_vec());
    }

    /// Holds back everything that goes this way, with the connections left open: half-open, as a cable that
    /// is pulled. [`pass`](Self::pass) lets it through again, with nothing lost.
    pub fn hold(&self, way: Way) {
        self.change(|faults| faults.way(way).held = true);
    }

    /// Holds back what goes this way on those open connections of which `chooses` says so by what the client itself sent
    /// there, the first 64 KiB of it; gives how many these are.
    pub fn hold_where(&self, way: Way, chooses: impl Fn(&[u8]) -> bool) -> usize {
        let chosen = self.chosen(chooses);
        self.change(|_| chosen.iter().for_each(|open| open.hold(way, true)));
        chosen.len()
    }

    /// Undoes a [`hold`](Self::hold), of whichever connections.
    pub fn pass(&self, way: Way) {
        let all = self.chosen(|_| true);
        self.change(|faults| {
            faults.way(way).held = false;
            all.iter().for_each(|open| open.hold(way, false));
        });
    }

    /// Resets every connection once this many bytes more have gone this way, counted over all connections.
    /// It happens once; `None` calls it off.
    pub fn cut_after(&self, way: Way, bytes: Option<usize>) {
        self.change(|faults| faults.way(way).left = bytes);
    }

    /// Whether a [cut](Self::cut_after) is still to come.
    #[must_use]
    pub fn will_cut(&self, way: Way) -> bool {
        self.shared.faults().way(way).left.is_some()
    }

    /// Whether what goes this way goes byte by byte, each in a packet of its own.
    pub fn slice(&self, way: Way, sliced: bool) {
        self.change(|faults| faults.way(way).sliced = sliced);
    }

    /// Lets each piece of what goes this way wait for this time.
    pub fn delay(&self, way: Way, latency: Duration) {
        self.change(|faults| faults.way(way).latency = latency);
    }

    /// Sends to the server what the client did not, on each open connection for which `compose` gives bytes: the
    /// argument is what the client itself sent there, the first 64 KiB of it. Until [`end`](Injection::end) nothing that the server sends
    /// on those connections reaches the client, so that an answer to these bytes does not.
    ///
    /// The bytes go between two pieces of what the client sends. A piece ends where a read of the socket does: inside
    /// of a message that is larger than 16 KiB.
    pub fn inject(&self, compose: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Injection {
        let mut connections = Vec::new();
        for open in self.chosen(|_| true) {
            let bytes = compose(&open.said.lock().expect("nobody panics holding it"));
            if let Some(bytes) = bytes {
                open.swallows.store(true, Ordering::Relaxed);
                // It fails when the server is gone, as what the client sends would.
                let _ = open.send(&bytes);
                connections.push(open);
            }
        }
        Injection(connections)
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.faults().open
    }

    /// The open connections of which this is true of what the client sent there.
    fn chosen(&self, chooses: impl Fn(&[u8]) -> bool) -> Vec<Arc<Open>> {
        let open: Vec<_> = self.shared.faults().connections.clone();
        let open = open.iter().filter_map(Weak::upgrade);
        open.filter(|open| chooses(&open.said.lock().expect("nobody panics holding it")))
            .collect()
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.faults());
        self.shared.changed.notify_all();
    }
}

/// Connections on which the server was sent what the client did not send.
#[derive(Debug)]
#[must_use]
pub struct Injection(Vec<Arc<Open>>);

impl Injection {
    /// How many connections these are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.len()
    }

    /// How many bytes that the server sent were kept from the clients.
    #[must_use]
    pub fn swallowed(&self) -> usize {
        let each = self.0.iter();
        each.map(|open| open.swallowed.load(Ordering::Relaxed))
            .sum()
    }

    /// Lets through again what the server sends.
    pub fn end(self) {
        for open in self.0 {
            open.swallows.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|faults| {
            faults.stopped = true;
            faults.epoch += 1;
        });
        // It wakes the thread that accepts, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

#[derive(Debug, Default)]
struct Shared {
    faults: Mutex<Faults>,
    changed: Condvar,
}

/// What is wrong at the moment.
#[derive(Debug, Default)]
struct Faults {
    /// Connections of an earlier epoch are to be reset.
    epoch: u64,
    refusing: bool,
    /// The servers that new connections lead to in turn, if they are others than the first.
    moved: Vec<SocketAddr>,
    stopped: bool,
    open: usize,
    connections: Vec<Weak<Open>>,
    to_server: Direction,
    to_client: Direction,
}

#[derive(Debug, Default)]
struct Direction {
    held: bool,
    sliced: bool,
    latency: Duration,
    /// How many bytes may pass before the cut.
    left: Option<usize>,
}

impl Faults {
    /// The server that the next connection leads to, unless it is the first.
    fn next(&mut self) -> Option<SocketAddr> {
        let next = *self.moved.first()?;
        self.moved.rotate_left(1);
        Some(next)
    }

    fn way(&mut self, way: Way) -> &mut Direction {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToClient => &mut self.to_client,
        }
    }
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("nobody panics holding it")
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, server: SocketAddr) {
        for client in listener.incoming() {
            let (epoch, refusing, server) = {
                let mut faults = self.faults();
                if faults.stopped {
                    return;
                }
                let server = faults.next().unwrap_or(server);
                (faults.epoch, faults.refusing, server)
            };
            let Ok(client) = client else { continue };
            let upstream = if refusing {
                None
            } else {
                TcpStream::connect(server).ok()
            };
            match upstream {
                Some(upstream) => {
                    // It fails when the client is gone by now.
                    let _ = self.join(&client, &upstream, epoch);
                }
                None => reset_on_close(&client),
            }
        }
    }

    /// Starts the two threads of a connection.
    fn join(
        self: &Arc<Self>,
        client: &TcpStream,
        upstream: &TcpStream,
        epoch: u64,
    ) -> io::Result<()> {
        for stream in [client, upstream] {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(GLANCE))?;
        }
        // The last of the handles to be dropped closes the connection, and counts it out.
        let open = Arc::new(Open::new(self.clone(), epoch, upstream.try_clone()?));
        {
            let mut faults = self.faults();
            faults.connections.retain(|open| open.strong_count() > 0);
            faults.connections.push(Arc::downgrade(&open));
        }
        for (way, from, to) in [
            (Way::ToServer, client, upstream),
            (Way::ToClient, upstream, client),
        ] {
            let (from, to) = (from.try_clone()?, to.try_clone()?);
            let open = open.clone();
            thread::spawn(move || {
                open.pump(way, &from, &to);
                // Before it is counted out: who sees the count may rely on the close.
                drop((from, to));
                drop(open);
            });
        }
        Ok(())
    }

    /// How many of a number of bytes may pass on a connection now, and whether everything is cut behind them. `None`
    /// when it is over.
    fn allow(&self, way: Way, open: &Open, bytes: usize) -> Option<(usize, bool)> {
        let over =
            |faults: &Faults| faults.epoch != open.epoch || open.broken.load(Ordering::Relaxed);
        let mut faults = self
            .changed
            .wait_while(self.faults(), |faults| {
                !over(faults) && (faults.way(way).held || open.holds(way))
            })
            .expect("nobody panics holding it");
        if over(&faults) {
            return None;
        }
        let direction = faults.way(way);
        let mut pass = if direction.sliced { 1 } else { bytes };
        let mut cut = false;
        if let Some(left) = &mut direction.left {
            pass = pass.min(*left);
            *left -= pass;
            cut = *left == 0;
            if cut {
                direction.left = None;
            }
        }
        let latency = direction.latency;
        drop(faults);
        if !latency.is_zero() {
            thread::sleep(latency);
        }
        Some((pass, cut))
    }
}

/// One connection, counted while it is open.
#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
    epoch: u64,
    /// Whether one of the directions failed, and with it the other.
    broken: AtomicBool,
    /// Whether what goes a [`Way`] is held back, beside what is held on all connections.
    held: [AtomicBool; 2],
    /// What the client sent first.
    said: Mutex<Vec<u8>>,
    /// Where to whole pieces are written, one at a time.
    server: Mutex<Option<TcpStream>>,
    /// Whether what the server sends is thrown away.
    swallows: AtomicBool,
    /// How many bytes were thrown away.
    swallowed: AtomicUsize,
}

/// How much of what a client sends first is kept.
const KEPT: usize = 64 << 10;

impl Open {
    fn new(shared: Arc<Shared>, epoch: u64, server: TcpStream) -> Self {
        shared.faults().open += 1;
        Self {
            shared,
            epoch,
            broken: AtomicBool::new(false),
            held: Default::default(),
            said: Mutex::default(),
            server: Mutex::new(Some(server)),
            swallows: AtomicBool::new(false),
            swallowed: AtomicUsize::new(0),
        }
    }

    /// Sends a piece to the server.
    fn send(&self, piece: &[u8]) -> io::Result<()> {
        let server = self.server.lock().expect("nobody panics holding it");
        let mut server = server.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        server.write_all(piece)
    }

    /// Sends a piece to the server for the client.
    fn forward(&self, piece: &[u8]) -> io::Result<()> {
        let mut said = self.said.lock().expect("nobody panics holding it");
        let room = KEPT - said.len();
        said.extend_from_slice(&piece[..piece.len().min(room)]);
        drop(said);
        self.send(piece)
    }

    fn hold(&self, way: Way, held: bool) {
        self.held[way as usize].store(held, Ordering::Relaxed);
    }

    fn holds(&self, way: Way) -> bool {
        self.held[way as usize].load(Ordering::Relaxed)
    }

    fn over(&self) -> bool {
        self.broken.load(Ordering::Relaxed) || self.shared.faults().epoch != self.epoch
    }

    /// Carries what goes one way until it ends in order, which leaves the other way open, or breaks.
    fn pump(&self, way: Way, from: &TcpStream, to: &TcpStream) {
        if self.carry(way, from, to).is_ok() {
            // It fails when the other side is gone as well.
            let _ = to.shutdown(Shutdown::Write);
        } else {
            self.broken.store(true, Ordering::Relaxed);
            reset_on_close(from);
            reset_on_close(to);
        }
    }

    fn carry(&self, way: Way, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if is_timeout(&error) && !self.over() => continue,
                Err(error) => return Err(error),
            };
            let mut rest = &buffer[..read];
            while !rest.is_empty() {
                let (pass, cut) = self
                    .shared
                    .allow(way, self, rest.len())
                    .ok_or(io::ErrorKind::ConnectionReset)?;
                let (now, later) = rest.split_at(pass);
                match way {
                    Way::ToServer => self.forward(now)?,
                    Way::ToClient if self.swallows.load(Ordering::Relaxed) => {
                        self.swallowed.fetch_add(now.len(), Ordering::Relaxed);
                    }
                    Way::ToClient => to.write_all(now)?,
                }
                if cut {
                    self.shared.faults().epoch += 1;
                    self.shared.changed.notify_all();
                }
                rest = later;
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Closed before it is counted out: who sees the count may rely on the close.
        if let Ok(server) = self.server.get_mut() {
            *server = None;
        }
        self.shared.faults().open -= 1;
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// Makes the close of the connection a reset, which is told at once and discards what is on its way.
fn reset_on_close(stream: &TcpStream) {
    // It fails when the connection is closed already.
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
}
