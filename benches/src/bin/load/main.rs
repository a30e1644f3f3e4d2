//! The load generator: subscribers and a publisher against one server or several, in a process of
//! its own.
//!
//! It says `ready` when everyone is connected, then takes orders by standard input, one per line, and
//! answers each with a line of JSON:
//!
//! - `flight BYTES EVENTS MILLISECONDS`: publishes so that this many events are on their way at any
//!   time.
//! - `rate BYTES PER_SECOND MILLISECONDS`: publishes at this rate, whatever comes of it.
//!
//! It ends with its standard input, and fails when an event is missing, doubled or out of order.

mod dialect;
mod frames;
mod swarm;

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use benches::load::Outcome;
use clap::Parser;
use midplane_testkit::process;

use dialect::{Dialect, event};
use swarm::{Route, Swarm};

/// The part of a run that comes before what is measured.
const WARM_UP: u32 = 5;

/// How long the last events of a run may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Arguments {
    /// The protocol the servers speak.
    #[arg(long)]
    dialect: Dialect,
    /// Where subscribers connect, in turn.
    #[arg(long, required = true, value_delimiter = ',')]
    subscribe: Vec<SocketAddr>,
    /// Where the publisher connects.
    #[arg(long)]
    publish: SocketAddr,
    /// How many subscribers there are.
    #[arg(long)]
    clients: usize,
    /// How many topics they share evenly.
    #[arg(long, default_value_t = 1)]
    topics: usize,
    /// The processes whose time is measured.
    #[arg(long, value_delimiter = ',')]
    pids: Vec<u32>,
}

/// How events are published in a run.
#[derive(Clone, Copy)]
enum Pace {
    Flight(usize),
    Rate(u64),
}

struct Order {
    bytes: usize,
    pace: Pace,
    time: Duration,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut swarm = Swarm::connect(&Route {
        dialect: arguments.dialect,
        subscribe: arguments.subscribe,
        publish: arguments.publish,
        clients: arguments.clients,
        topics: arguments.topics,
    })?;
    let orders = orders();
    answer("ready")?;
    loop {
        match orders.try_recv() {
            Ok(order) => {
                let outcome = run(&mut swarm, &order?, &arguments.pids)?;
                answer(&serde_json::to_string(&outcome)?)?;
            }
            Err(TryRecvError::Empty) => swarm.turn(Duration::from_millis(20))?,
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
            if sender.send(line.and_then(|line| parse(&line))).is_err() {
                return;
            }
        }
    });
    receiver
}

fn parse(line: &str) -> io::Result<Order> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| -> io::Result<u64> {
        let word = words.get(at).and_then(|word| word.parse().ok());
        word.ok_or_else(|| io::Error::other(format!("no order: {line}")))
    };
    let pace = match words.first() {
        Some(&"flight") => Pace::Flight(number(2)? as usize),
        Some(&"rate") => Pace::Rate(number(2)?),
        _ => return Err(io::Error::other(format!("no order: {line}"))),
    };
    Ok(Order {
        bytes: number(1)? as usize,
        pace,
        time: Duration::from_millis(number(3)?),
    })
}

fn run(swarm: &mut Swarm, order: &Order, pids: &[u32]) -> io::Result<Outcome> {
    let warm = order.time / WARM_UP;
    match order.pace {
        Pace::Flight(events) => {
            let keep = |swarm: &mut Swarm, time: Duration| -> io::Result<()> {
                let start = Instant::now();
                while start.elapsed() < time {
                    while swarm.in_flight() < events {
                        swarm.publish(&event(swarm.next_number(), order.bytes));
                    }
                    swarm.flush()?;
                    swarm.turn(Duration::from_millis(100))?;
                }
                Ok(())
            };
            keep(swarm, warm)?;
            let measure = Measure::start(swarm, pids)?;
            keep(swarm, order.time)?;
            let outcome = measure.stop(swarm, pids)?;
            settle(swarm)?;
            Ok(outcome)
        }
        Pace::Rate(per_second) => {
            let interval = Duration::from_secs(1) / per_second as u32;
            let (warm_events, events) = (
                (warm.as_nanos() / interval.as_nanos()) as u64,
                (order.time.as_nanos() / interval.as_nanos()) as u64,
            );
            let (first, topics, dialect) =
                (swarm.next_number(), swarm.topics() as u64, swarm.dialect());
            let mut socket = swarm.publisher()?;
            let bytes = order.bytes;
            let start = Instant::now();
            let due = move |at: u64| start + interval * at as u32;
            let sender = thread::spawn(move || -> io::Result<()> {
                for at in 0..warm_events + events {
                    thread::sleep(due(at).saturating_duration_since(Instant::now()));
                    let number = first + at;
                    let message =
                        dialect.publish((number % topics) as usize, &event(number, bytes));
                    write_all(&mut socket, &frames::text(&message))?;
                }
                Ok(())
            });
            // What is sent is known beforehand, so the two threads share nothing: latency counts from
            // when an event was due, not from when its publisher got round to it.
            for at in 0..warm_events + events {
                swarm.note(due(at));
            }
            while Instant::now() < due(warm_events) {
                swarm.turn(Duration::from_millis(1))?;
            }
            let measure = Measure::start(swarm, pids)?;
            while Instant::now() < due(warm_events + events) {
                swarm.turn(Duration::from_millis(1))?;
            }
            let outcome = measure.stop(swarm, pids)?;
            settle(swarm)?;
            sender
                .join()
                .map_err(|_| io::Error::other("the publisher panicked"))??;
            Ok(outcome)
        }
    }
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

/// Waits for what is on its way.
fn settle(swarm: &mut Swarm) -> io::Result<()> {
    let start = Instant::now();
    while swarm.in_flight() > 0 {
        if start.elapsed() > PATIENCE {
            let missing = swarm.in_flight();
            return Err(io::Error::other(format!("{missing} events do not arrive")));
        }
        swarm.turn(Duration::from_millis(20))?;
    }
    Ok(())
}

/// Time, and time on processors, of a part of a run.
struct Measure {
    start: Instant,
    busy: Duration,
}

impl Measure {
    fn start(swarm: &mut Swarm, pids: &[u32]) -> io::Result<Self> {
        swarm.count(true);
        Ok(Self {
            start: Instant::now(),
            busy: busy(pids)?,
        })
    }

    fn stop(self, swarm: &mut Swarm, pids: &[u32]) -> io::Result<Outcome> {
        let took = self.start.elapsed();
        let busy = busy(pids)? - self.busy;
        let latencies = swarm.count(false);
        Outcome::new(latencies, took, busy).ok_or_else(|| io::Error::other("nothing was delivered"))
    }
}

fn busy(pids: &[u32]) -> io::Result<Duration> {
    pids.iter().map(|pid| process::processor_time(*pid)).sum()
}
