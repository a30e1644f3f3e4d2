//! The load generator: subscribers of one topic and a publisher, in a process of its own.
//!
//! The program prints `ready` when every client is connected, then takes [`Order`]s from standard input, one per line of
//! JSON, and answers each with an [`Outcome`]. It ends with its standard input, and fails when an event is missing, doubled
//! or out of order.

mod client;
mod clients;
mod dialect;
mod frames;

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use benches::load::{Order, Outcome, Pace};
use clap::Parser;
use midplane_testkit::process;

use clients::Clients;
use dialect::{Dialect, event};

/// The warm-up of a run, as a part of the measured time.
const WARM_UP: u32 = 5;

/// How long the last events of a run may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Arguments {
    /// The protocol of the servers.
    #[arg(long)]
    dialect: Dialect,
    /// The server that subscribers connect to.
    #[arg(long)]
    subscribe: SocketAddr,
    /// The server that the publisher connects to.
    #[arg(long)]
    publish: SocketAddr,
    /// The number of subscribers.
    #[arg(long)]
    clients: usize,
    /// The processes whose processor time is measured.
    #[arg(long)]
    pids: Vec<u32>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let (subscribe, publish) = (arguments.subscribe, arguments.publish);
    let mut clients = Clients::connect(arguments.dialect, subscribe, publish, arguments.clients)?;
    let orders = orders();
    answer("ready")?;
    loop {
        match orders.try_recv() {
            Ok(order) => {
                let outcome = run(&mut clients, &order?, &arguments.pids)?;
                answer(&serde_json::to_string(&outcome)?)?;
            }
            Err(TryRecvError::Empty) => clients.turn(Duration::from_millis(20))?,
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

fn answer(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Standard input, read by a thread so that pings are answered meanwhile.
fn orders() -> Receiver<io::Result<Order>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let order = line.and_then(|line| Ok(serde_json::from_str(&line)?));
            if sender.send(order).is_err() {
                return;
            }
        }
    });
    receiver
}

fn run(clients: &mut Clients, order: &Order, pids: &[u32]) -> io::Result<Outcome> {
    let time = Duration::from_millis(order.milliseconds);
    match order.pace {
        Pace::Flight(events) => flight(clients, order.bytes, events, time, pids),
        Pace::Rate(per_second) => rate(clients, order.bytes, per_second, time, pids),
    }
}

fn flight(
    clients: &mut Clients,
    bytes: usize,
    events: usize,
    time: Duration,
    pids: &[u32],
) -> io::Result<Outcome> {
    let keep = |clients: &mut Clients, time: Duration| -> io::Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            while clients.in_flight() < events {
                clients.publish(&event(clients.next_number(), bytes));
            }
            clients.flush()?;
            clients.turn(Duration::from_millis(100))?;
        }
        Ok(())
    };
    keep(clients, time / WARM_UP)?;
    let measure = Measure::start(clients, pids)?;
    keep(clients, time)?;
    let outcome = measure.stop(clients, pids)?;
    settle(clients)?;
    Ok(outcome)
}

fn rate(
    clients: &mut Clients,
    bytes: usize,
    per_second: u64,
    time: Duration,
    pids: &[u32],
) -> io::Result<Outcome> {
    let interval = Duration::from_secs(1) / per_second as u32;
    let count = |time: Duration| (time.as_nanos() / interval.as_nanos()) as u64;
    let (warm, all) = (count(time / WARM_UP), count(time / WARM_UP) + count(time));
    let (first, dialect) = (clients.next_number(), clients.dialect());
    let mut socket = clients.publisher()?;
    let start = Instant::now();
    let due = move |at: u64| start + interval * at as u32;
    let sender = thread::spawn(move || -> io::Result<()> {
        for at in 0..all {
            thread::sleep(due(at).saturating_duration_since(Instant::now()));
            let message = dialect.publish(&event(first + at, bytes));
            write_all(&mut socket, &frames::text(&message))?;
        }
        Ok(())
    });
    // What is sent is known beforehand, so the two threads share nothing. Latency counts from when an event was due,
    // however late its publisher was.
    for at in 0..all {
        clients.sent(due(at));
    }
    while Instant::now() < due(warm) {
        clients.turn(Duration::from_millis(1))?;
    }
    let measure = Measure::start(clients, pids)?;
    while Instant::now() < due(all) {
        clients.turn(Duration::from_millis(1))?;
    }
    let outcome = measure.stop(clients, pids)?;
    settle(clients)?;
    let sent = sender.join();
    sent.map_err(|_| io::Error::other("the publisher panicked"))??;
    Ok(outcome)
}

/// Writes to a socket that does not block.
fn write_all(socket: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_micros(100));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits for the events in flight.
fn settle(clients: &mut Clients) -> io::Result<()> {
    let start = Instant::now();
    while clients.in_flight() > 0 {
        if start.elapsed() > PATIENCE {
            let missing = clients.in_flight();
            return Err(io::Error::other(format!("{missing} events do not arrive")));
        }
        clients.turn(Duration::from_millis(20))?;
    }
    Ok(())
}

/// The start of the measured part of a run.
struct Measure {
    start: Instant,
    busy: Duration,
}

impl Measure {
    fn start(clients: &mut Clients, pids: &[u32]) -> io::Result<Self> {
        clients.count(true);
        Ok(Self {
            start: Instant::now(),
            busy: busy(pids)?,
        })
    }

    fn stop(self, clients: &mut Clients, pids: &[u32]) -> io::Result<Outcome> {
        let took = self.start.elapsed();
        let busy = busy(pids)? - self.busy;
        let latencies = clients.count(false);
        Outcome::new(latencies, took, busy).ok_or_else(|| io::Error::other("nothing was delivered"))
    }
}

fn busy(pids: &[u32]) -> io::Result<Duration> {
    pids.iter().map(|pid| process::processor_time(*pid)).sum()
}
