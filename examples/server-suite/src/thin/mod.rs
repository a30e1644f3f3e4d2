//! Clients on thin links, under the limits that a server has by default: they stay, and learn what they lost; and clients that
//! never read, whose memory is bounded.

mod client;
mod link;
mod unread;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::{interval, sleep};

use client::Count;
use unread::Unread;

use crate::Program;
use crate::endpoint::Endpoint;
use crate::fixture::{publication, target};
use crate::http::Request;

/// The rates of the links, in bytes a second.
const RATES: [usize; 7] = [5_000, 10_000, 25_000, 50_000, 100_000, 200_000, 300_000];

/// What is published to the topic of all of them, in events a second and bytes each: more than any link brings.
const FLOOD: (u32, usize) = (400, 1_024);

/// How many events the prompt client times, and how often one is published.
const TIMED: (usize, Duration) = (500, Duration::from_millis(10));

/// What is measured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long the links are read.
    pub length: Duration,
    /// How many clients never read.
    pub unread: usize,
    /// Flags of the server.
    pub flags: String,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    links: Vec<Link>,
    length: Duration,
    /// The 99th percentile of a prompt client's latency alone, and among those on thin links.
    p99: [Duration; 2],
    /// The 99th percentile of a prompt client alone, while clients that never read are filled.
    beside: Option<Duration>,
    unread: Option<Unread>,
}

#[derive(Debug, Clone)]
struct Link {
    rate: usize,
    bytes: u64,
    events: u64,
    lost: u64,
    ended: bool,
}

/// Runs the clients against a server of this program.
///
/// # Panics
/// When the server does not start, or refuses what it has to take.
pub async fn run(program: Program, settings: &Settings, say: &dyn Fn(&str)) -> Report {
    let server = program.start(&settings.flags);
    let endpoint = server.endpoint;
    let (timed, every) = TIMED;
    let alone = client::latencies(endpoint, timed, every).await;
    let (unread, beside) = match settings.unread {
        0 => (None, Vec::new()),
        clients => {
            let (unread, beside) = unread::measure(endpoint, server.child.id(), clients, say).await;
            (Some(unread), beside)
        }
    };

    let flood = tokio::spawn(publish(endpoint));
    let start = Instant::now();
    let counts: Vec<_> = RATES
        .iter()
        .map(|&rate| {
            let count = Arc::new(Count::default());
            tokio::spawn(client::read_slowly(endpoint, "flood", rate, count.clone()));
            (rate, count)
        })
        .collect();
    sleep(settings.length / 2).await;
    say("the links are read for half of the time");
    let among = client::latencies(endpoint, timed, every).await;
    sleep(settings.length.saturating_sub(start.elapsed())).await;
    flood.abort();
    let links = counts.iter().map(|(rate, count)| Link {
        rate: *rate,
        bytes: count.bytes.load(Ordering::Relaxed),
        events: count.events.load(Ordering::Relaxed),
        lost: count.lost.load(Ordering::Relaxed),
        ended: count.ended.load(Ordering::Relaxed),
    });
    Report {
        links: links.collect(),
        length: start.elapsed(),
        p99: [alone, among].map(p99),
        beside: unread.is_some().then(|| p99(beside)),
        unread,
    }
}

/// Publishes the flood.
async fn publish(server: Endpoint) {
    let (rate, bytes) = FLOOD;
    let event = json!("x".repeat(bytes)).to_string();
    let body = publication(&target("topic", "flood"), &event);
    let mut due = interval(Duration::from_secs(1) / rate);
    loop {
        due.tick().await;
        let request = Request::publish(&body);
        let _ = request.try_send(server.address).await;
    }
}

fn p99(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort();
    latencies[latencies.len() * 99 / 100]
}

impl Report {
    /// Whether every link is still read, and each whose rate is below the flood's lost something and was told; and whether
    /// clients that never read took no more than they may.
    #[must_use]
    pub fn holds(&self) -> bool {
        let mut links = self.links.iter();
        links.all(|link| !link.ended && link.events > 0 && link.lost > 0)
            && self.unread.as_ref().is_none_or(Unread::holds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.length.as_secs_f64();
        writeln!(f, "links, read for {seconds:.0} s:")?;
        for link in &self.links {
            let fate = if link.ended { "cut off" } else { "connected" };
            writeln!(
                f,
                "{:>7} B/s: {fate}, got {:.0} B/s, {} events, told of {} lost",
                link.rate,
                link.bytes as f64 / seconds,
                link.events,
                link.lost,
            )?;
        }
        let [alone, among] = self.p99;
        writeln!(
            f,
            "a prompt client's p99: {alone:.1?} alone, {among:.1?} among them"
        )?;
        if let Some(beside) = self.beside {
            writeln!(f, "and {beside:.1?} beside clients that never read")?;
        }
        if let Some(unread) = &self.unread {
            write!(f, "{unread}")?;
        }
        Ok(())
    }
}
