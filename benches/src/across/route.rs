//! A route from a publisher to a subscriber: as many events as it takes, and one at a time.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use benches::Quantiles;

use super::arrivals::{Arrivals, nanoseconds};

/// The time of a turn, about.
const TURN: Duration = Duration::from_millis(400);

/// The most bytes of payload in flight: less than any contender refuses.
const WINDOW: usize = 4 << 20;

/// Single events of a turn, and the time between two.
const SINGLES: usize = 150;
const APART: Duration = Duration::from_millis(1);

/// A way from a publisher to a subscriber.
pub(crate) trait Route {
    /// Sends events; returns when they are on their way.
    fn send(&mut self, events: usize) -> io::Result<()>;

    fn arrivals(&self) -> &Arrivals;
}

/// A route, and the number of events that make a turn.
pub(crate) struct Streams {
    route: Box<dyn Route>,
    events: usize,
    /// The most events in flight.
    window: usize,
}

impl Streams {
    /// For events of this size in bytes.
    pub(crate) fn new(size: usize, route: impl Route + 'static) -> Self {
        Self {
            route: Box::new(route),
            events: 1_000,
            window: WINDOW / size,
        }
    }

    /// Brings the number of events of a turn closer to the time of a turn.
    pub(crate) fn calibrate(&mut self) -> io::Result<()> {
        let more = TURN.as_secs_f64() / self.stream()?.as_secs_f64();
        self.events = (self.events as f64 * more.min(20.0)) as usize + 1;
        Ok(())
    }

    /// Events per second.
    pub(crate) fn speed(&mut self) -> io::Result<f64> {
        Ok(self.events as f64 / self.stream()?.as_secs_f64())
    }

    /// Sends the events of a turn and waits for all of them.
    fn stream(&mut self) -> io::Result<Duration> {
        let (route, window) = (&mut self.route, self.window);
        let chunk = (window / 32).max(1);
        let before = route.arrivals().count();
        let start = Instant::now();
        let mut sent = 0;
        while sent < self.events {
            let next = chunk.min(self.events - sent);
            route.send(next)?;
            sent += next;
            let arrivals = route.arrivals();
            if before + sent as u64 > arrivals.count() + window as u64 {
                arrivals.want(before + (sent - window / 2) as u64);
                arrivals.wait()?;
            }
        }
        route.arrivals().want(before + self.events as u64);
        route.arrivals().wait()?;
        Ok(start.elapsed())
    }

    /// Sends events one after the other, and gives the latencies in microseconds.
    pub(crate) fn singles(&mut self) -> io::Result<Quantiles> {
        let mut took = Vec::with_capacity(SINGLES);
        for _ in 0..SINGLES {
            thread::sleep(APART);
            let arrivals = self.route.arrivals();
            arrivals.want(arrivals.count() + 1);
            let start = nanoseconds();
            self.route.send(1)?;
            self.route.arrivals().wait()?;
            let end = self.route.arrivals().reached_since(start);
            took.push((end - start) as f64 / 1e3);
        }
        Ok(Quantiles::new(took))
    }
}
