//! The workload that Sockudo publishes: three nodes over Redis, 900 subscribers of 100 topics.

use std::io;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use benches::Quantiles;
use midplane::bus::Bus;
use midplane::node::Config;
use midplane::{Audience, Event};
use midplane_redis::Redis;
use midplane_testkit::server::Server;

use crate::across::{Node, failed, topic};
use crate::report::{Goal, Lines, Report, Scale, short};

const NODES: usize = 3;
const SUBSCRIBERS: usize = 900;
const TOPICS: usize = 100;
const PER_TOPIC: usize = SUBSCRIBERS / TOPICS;

/// The rates that Sockudo tells of, in publishes per second, and their p95 and p99 in milliseconds.
const TOLD: [(usize, f64, f64); 2] = [(1_000, 1.0, 4.0), (5_000, 35.0, 46.0)];

/// What the p99 is to stay under, in milliseconds, and so is told of the knee.
const PROMPT: f64 = 4.0;

/// The largest rate that is tried.
const MOST: usize = 1_280_000;

/// How long each rate is kept, how often, and how much of that warms up.
const TURN: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;
const WARM_UP: u32 = 4;

/// How long what was published last may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bytes of an event, the first of which are the moment of its publishing.
const SIZE: usize = 64;

/// Latencies as the sinks note them, in nanoseconds: those of one node together.
type Latencies = Arc<Mutex<Vec<u64>>>;

struct Field {
    nodes: Vec<Node>,
    audiences: Vec<Audience>,
    latencies: Vec<Latencies>,
    delivered: Arc<AtomicU64>,
    start: Instant,
}

/// What came of one rate.
struct Outcome {
    p50: f64,
    p95: f64,
    p99: f64,
    /// Publishes per second as they were.
    rate: f64,
    /// Deliveries that did not come while one waited.
    missing: u64,
}

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let server = Server::redis();
    let field = Field::start(&server)?;
    report.say(format!(
        "{NODES} nodes over one Redis, {SUBSCRIBERS} subscribers, {TOPICS} topics, {PER_TOPIC} deliveries of \
         {SIZE} bytes for each publish; from the call of `publish` to the call of the sink, in milliseconds. The \
         nodes take turns publishing. Each line is the median of {ROUNDS} runs."
    ));
    let mut rows = Vec::new();
    let (mut p99s, mut p50s) = (Vec::new(), Vec::new());
    let mut knee = 0.0;
    let rates = TOLD.iter().map(|told| told.0);
    let doubled = std::iter::successors(Some(10_000), |rate| Some(rate * 2));
    for rate in rates.chain(doubled.take_while(|rate| *rate <= MOST)) {
        report.progress(format!("{rate} publishes per second"));
        let outcome = field.median(rate)?;
        rows.push(vec![
            short(rate as f64),
            short(outcome.rate),
            format!("{:.2}", outcome.p50),
            format!("{:.2}", outcome.p95),
            format!("{:.2}", outcome.p99),
            outcome.missing.to_string(),
        ]);
        p50s.push((rate as f64, outcome.p50));
        p99s.push((rate as f64, outcome.p99));
        if let Some((_, p95, p99)) = TOLD.iter().find(|told| told.0 == rate) {
            let goal = |what: &str, value: f64| {
                Goal::new(format!("{what} at {rate} publishes/s"), value, "ms")
            };
            report.goal(goal("p99", outcome.p99).peer(*p99).at_most(PROMPT));
            let late = goal("p95", outcome.p95).peer(*p95);
            report.goal(late.ratio_at_most(outcome.p95 / p95, 1.0, "what Sockudo tells"));
        }
        let kept = outcome.rate >= 0.95 * rate as f64 && outcome.missing == 0;
        if kept && outcome.p99 < PROMPT {
            knee = rate as f64;
        } else if rate > TOLD[1].0 {
            break;
        }
    }
    report.table(
        &["publishes/s", "reached", "p50", "p95", "p99", "missing"],
        &rows,
    );
    report.say(format!(
        "The knee: {} publishes, {} deliveries per second are the most of these that stay under {PROMPT} ms at the \
         p99 and keep their rate. Peers are the figures that Sockudo tells, of a larger machine.",
        short(knee),
        short(knee * PER_TOPIC as f64)
    ));
    let five = TOLD[1].0 as f64;
    report.goal(
        Goal::new("the knee", knee, "publishes/s")
            .peer(five)
            .ratio_at_least(knee / five, 1.0, "the larger rate"),
    );
    report.picture(
        "sockudo",
        &Lines {
            title: "From publish to sink, three nodes over Redis",
            x: ("publishes per second", Scale::Logarithmic),
            y: ("milliseconds", Scale::Logarithmic),
            lines: vec![("p50".to_owned(), p50s), ("p99".to_owned(), p99s)],
        },
    )
}

impl Field {
    fn start(server: &Server) -> io::Result<Self> {
        let start = Instant::now();
        let delivered = Arc::new(AtomicU64::new(0));
        let (mut nodes, mut latencies) = (Vec::new(), Vec::new());
        for _ in 0..NODES {
            let bus: Arc<dyn Bus> = Arc::new(Redis::new(&server.url()).map_err(failed)?);
            nodes.push(Node::start(bus, Config::default())?);
            latencies.push(Latencies::default());
        }
        for subscriber in 0..SUBSCRIBERS {
            let at = subscriber % NODES;
            let (latencies, delivered) = (latencies[at].clone(), delivered.clone());
            let target = topic(subscriber / PER_TOPIC);
            nodes[at].attach(&format!("subscriber-{subscriber}"), &target, move |event| {
                let now = start.elapsed().as_nanos() as u64;
                if let Some((sent, _)) = event.bytes().split_first_chunk() {
                    let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
                    latencies.push(now.saturating_sub(u64::from_le_bytes(*sent)));
                }
                delivered.fetch_add(1, Ordering::Relaxed);
            })?;
        }
        Ok(Self {
            nodes,
            audiences: (0..TOPICS).map(|number| topic(number).into()).collect(),
            latencies,
            delivered,
            start,
        })
    }

    fn median(&self, rate: usize) -> io::Result<Outcome> {
        self.turn(rate, TURN / WARM_UP)?;
        let mut outcomes = Vec::new();
        for _ in 0..ROUNDS {
            outcomes.push(self.turn(rate, TURN)?);
        }
        let of = |value: fn(&Outcome) -> f64| Quantiles::new(outcomes.iter().map(value)).at(0.5);
        Ok(Outcome {
            p50: of(|outcome| outcome.p50),
            p95: of(|outcome| outcome.p95),
            p99: of(|outcome| outcome.p99),
            rate: of(|outcome| outcome.rate),
            missing: outcomes.iter().map(|outcome| outcome.missing).sum(),
        })
    }

    /// Publishes at a rate, whatever comes of it.
    fn turn(&self, rate: usize, time: Duration) -> io::Result<Outcome> {
        for latencies in &self.latencies {
            drop(take(latencies));
        }
        let before = self.delivered.load(Ordering::Relaxed);
        let apart = 1.0 / rate as f64;
        let start = Instant::now();
        let mut sent = 0;
        while start.elapsed() < time {
            let due = start + Duration::from_secs_f64(apart * sent as f64);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // What fell due while this slept goes out together.
            let due = (start.elapsed().as_secs_f64() * rate as f64) as usize;
            while sent <= due && start.elapsed() < time {
                self.publish(sent)?;
                sent += 1;
            }
        }
        let took = start.elapsed();
        let expected = before + (sent * PER_TOPIC) as u64;
        while self.delivered.load(Ordering::Relaxed) < expected && start.elapsed() < took + PATIENCE
        {
            thread::sleep(Duration::from_millis(1));
        }
        let missing = expected - self.delivered.load(Ordering::Relaxed).min(expected);
        let all = self.latencies.iter().flat_map(take);
        let all = Quantiles::new(all.map(|latency| latency as f64 / 1e6));
        Ok(Outcome {
            p50: all.at(0.5),
            p95: all.at(0.95),
            p99: all.at(0.99),
            rate: sent as f64 / took.as_secs_f64(),
            missing,
        })
    }

    fn publish(&self, number: usize) -> io::Result<()> {
        let mut bytes = vec![0; SIZE];
        let now = self.start.elapsed().as_nanos() as u64;
        bytes[..8].copy_from_slice(&now.to_le_bytes());
        let audience = &self.audiences[number % TOPICS];
        self.nodes[number % NODES].publish(audience, &Event::binary(bytes))
    }
}

fn take(latencies: &Latencies) -> Vec<u64> {
    mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner))
}
