//! Contenders that take turns: as many events as they can, and one at a time.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use benches::Quantiles;

use super::arrivals::Arrivals;
use super::clock::nanoseconds;

/// How long a turn takes, about, and how many each contender has.
const TURN: Duration = Duration::from_millis(400);
const ROUNDS: usize = 7;

/// At most so many bytes of payload are on their way at any time: less than any of the contenders refuses.
const WINDOW: usize = 4 << 20;

/// One after the other, so many each turn and so far apart.
const SINGLES: usize = 150;
const APART: Duration = Duration::from_millis(1);

/// One way from a publisher to a subscriber.
pub(crate) trait Way {
    /// Sends so many events; returns when they are on their way.
    fn send(&mut self, events: usize) -> io::Result<()>;

    fn arrivals(&self) -> &Arrivals;
}

/// One contender, and what came of its turns.
struct Contender {
    name: &'static str,
    way: Box<dyn Way>,
    events: usize,
    /// Events per second, one for each turn.
    speeds: Vec<f64>,
    /// Of single events, in microseconds: the p50 and the p99 of each turn.
    p50: Vec<f64>,
    p99: Vec<f64>,
}

/// Contenders, the first of which is the floor.
pub(crate) struct Contest {
    size: usize,
    contenders: Vec<Contender>,
}

impl Contest {
    /// For events of this many bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            contenders: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: &'static str, way: impl Way + 'static) {
        self.contenders.push(Contender {
            name,
            way: Box::new(way),
            events: 1_000,
            speeds: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
        });
    }

    /// Lets each send as much as it can, in turn.
    pub(crate) fn race(&mut self) -> io::Result<()> {
        let window = WINDOW / self.size;
        for round in 0..ROUNDS + 3 {
            for one in &mut self.contenders {
                let took = stream(&mut *one.way, one.events, window).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", one.name))
                })?;
                // The first rounds tell how many events are a turn.
                if round < 3 {
                    let more = TURN.as_secs_f64() / took.as_secs_f64();
                    one.events = (one.events as f64 * more.min(20.0)) as usize + 1;
                } else {
                    one.speeds.push(one.events as f64 / took.as_secs_f64());
                }
            }
        }
        Ok(())
    }

    /// Lets each send one after the other, in turn.
    pub(crate) fn singles(&mut self, names: &[&str]) -> io::Result<()> {
        for round in 0..=ROUNDS {
            for one in &mut self.contenders {
                if !names.contains(&one.name) {
                    continue;
                }
                let mut took = Vec::with_capacity(SINGLES);
                for _ in 0..SINGLES {
                    thread::sleep(APART);
                    took.push(single(&mut *one.way)?);
                }
                let took = Quantiles::new(took);
                // The first round warms up.
                if round > 0 {
                    one.p50.push(took.at(0.5));
                    one.p99.push(took.at(0.99));
                }
            }
        }
        Ok(())
    }

    fn one(&self, name: &str) -> &Contender {
        let one = self.contenders.iter().find(|one| one.name == name);
        one.unwrap_or_else(|| panic!("no contender is called {name}"))
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.contenders.iter().map(|one| one.name).collect()
    }

    /// The median of a contender's events per second.
    pub(crate) fn speed(&self, name: &str) -> f64 {
        median(self.one(name).speeds.iter().copied())
    }

    /// The median of the ratios of two contenders' speeds in the same round.
    pub(crate) fn ratio(&self, name: &str, of: &str) -> f64 {
        ratio(&self.one(name).speeds, &self.one(of).speeds)
    }

    /// The p50 and the p99 in microseconds, each the median of all turns, of whoever sent single events.
    pub(crate) fn latency(&self, name: &str) -> Option<(f64, f64)> {
        let one = self.one(name);
        if one.p50.is_empty() {
            return None;
        }
        Some((
            median(one.p50.iter().copied()),
            median(one.p99.iter().copied()),
        ))
    }

    /// The medians of the ratios of two contenders' p50 and p99 in the same round.
    pub(crate) fn latency_ratio(&self, name: &str, of: &str) -> (f64, f64) {
        let (one, of) = (self.one(name), self.one(of));
        (ratio(&one.p50, &of.p50), ratio(&one.p99, &of.p99))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    Quantiles::new(values).at(0.5)
}

fn ratio(one: &[f64], of: &[f64]) -> f64 {
    median(one.iter().zip(of).map(|(one, of)| one / of))
}

/// Sends so many events and waits for all of them.
fn stream(way: &mut dyn Way, events: usize, window: usize) -> io::Result<Duration> {
    let chunk = (window / 32).max(1);
    let before = way.arrivals().count();
    let start = Instant::now();
    let mut sent = 0;
    while sent < events {
        let next = chunk.min(events - sent);
        way.send(next)?;
        sent += next;
        let arrivals = way.arrivals();
        if before + sent as u64 > arrivals.count() + window as u64 {
            arrivals.want(before + (sent - window / 2) as u64);
            arrivals.wait()?;
        }
    }
    way.arrivals().want(before + events as u64);
    way.arrivals().wait()?;
    Ok(start.elapsed())
}

/// Sends one event and gives how long it took to arrive, in microseconds.
fn single(way: &mut dyn Way) -> io::Result<f64> {
    let arrivals = way.arrivals();
    arrivals.want(arrivals.count() + 1);
    let start = nanoseconds();
    way.send(1)?;
    way.arrivals().wait()?;
    Ok((way.arrivals().reached() - start) as f64 / 1e3)
}
