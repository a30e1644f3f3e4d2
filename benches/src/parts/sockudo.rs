//! The workload that Sockudo publishes: three nodes over Redis, 900 subscribers of 100 topics.

use std::io;
use std::iter;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use benches::Quantiles;
use instructions::topic;
use midplane::bus::Bus;
use midplane::node::Config;
use midplane::{Audience, Event};
use midplane_redis::Redis;
use midplane_testkit::server::Server;

use crate::across::{NodeThread, failed};
use crate::race::race;
use crate::report::{Goal, Lines, Report, Scale, short};

const NODES: usize = 3;
const SUBSCRIBERS: usize = 900;
const TOPICS: usize = 100;
const PER_TOPIC: usize = SUBSCRIBERS / TOPICS;

/// The rates that Sockudo publishes, in publishes per second, with their p95 and p99 in milliseconds.
const PUBLISHED: [(usize, f64, f64); 2] = [(1_000, 1.0, 4.0), (5_000, 35.0, 46.0)];

/// The goal for the p99 in milliseconds, which also defines the knee.
const PROMPT: f64 = 4.0;

/// The first rate beyond those that Sockudo publishes, and the largest that is tried.
const FIRST: usize = 10_000;
const MOST: usize = 1_280_000;

/// How long each rate is kept, how often, and the part of that which warms up.
const TURN: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;
const WARM_UP: u32 = 4;

/// How long the last events may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bytes of an event; the first 8 are the time of its publish.
const SIZE: usize = 64;

/// The latencies of the deliveries of a node, in nanoseconds.
type Latencies = Arc<Mutex<Vec<u64>>>;

/// The nodes, and what their subscribers received.
struct Workload {
    nodes: Vec<NodeThread>,
    audiences: Vec<Audience>,
    latencies: Vec<Latencies>,
    delivered: Arc<AtomicU64>,
    start: Instant,
}

/// The outcome of a turn.
struct Outcome {
    latencies: Quantiles,
    /// Publishes per second that were reached.
    rate: f64,
    /// Deliveries that did not come in time.
    missing: u64,
}

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let server = Server::redis();
    let mut workload = [("midplane", Workload::start(&server)?)];
    report.say(format!(
        "{NODES} nodes over one Redis, {SUBSCRIBERS} subscribers, {TOPICS} topics, {PER_TOPIC} deliveries of \
         {SIZE} bytes for each publish; from the call of `publish` to the call of the sink, in milliseconds. The \
         nodes take turns publishing. Each line is the median of {ROUNDS} runs."
    ));
    let mut picture = Lines::new(
        "From publish to sink, three nodes over Redis",
        ("publishes per second", Scale::Logarithmic),
        ("milliseconds", Scale::Logarithmic),
    );
    let mut rows = Vec::new();
    let mut knee = 0.0;
    let rates = PUBLISHED.iter().map(|published| published.0);
    let doubled = iter::successors(Some(FIRST), |rate| Some(rate * 2));
    for rate in rates.chain(doubled.take_while(|rate| *rate <= MOST)) {
        report.progress(format!("{rate} publishes per second"));
        workload[0].1.turn(rate, TURN / WARM_UP)?;
        let race = race(&mut workload, ROUNDS, |workload| workload.turn(rate, TURN))?;
        let quantile = |fraction| race.least(|run| run.latencies.at(fraction)).of("midplane");
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(quantile);
        let reached = race.most(|run| run.rate).of("midplane");
        let missing: u64 = race
            .turns()
            .flat_map(|(_, runs)| runs)
            .map(|run| run.missing)
            .sum();
        rows.push(vec![
            short(rate as f64),
            short(reached),
            format!("{p50:.2}"),
            format!("{p95:.2}"),
            format!("{p99:.2}"),
            missing.to_string(),
        ]);
        picture.point("p50", rate as f64, p50);
        picture.point("p99", rate as f64, p99);
        if let Some((_, their_p95, their_p99)) = PUBLISHED.iter().find(|known| known.0 == rate) {
            let goal = |what: &str, value: f64| {
                Goal::new(format!("{what} at {rate} publishes/s"), value, "ms")
            };
            report.goal(goal("p99", p99).peer(*their_p99).at_most(PROMPT));
            let late = goal("p95", p95).peer(*their_p95);
            report.goal(late.ratio_at_most(p95 / their_p95, 1.0, "what Sockudo tells"));
        }
        let kept = reached >= 0.95 * rate as f64 && missing == 0;
        if kept && p99 < PROMPT {
            knee = rate as f64;
        } else if rate >= FIRST {
            break;
        }
    }
    report.table(
        &["publishes/s", "reached", "p50", "p95", "p99", "missing"],
        &rows,
    );
    report.say(format!(
        "The knee: {} publishes, {} deliveries per second are the most of these that stay under {PROMPT} ms at the \
         p99 and keep their rate. Peers are the figures that Sockudo publishes, of a larger machine.",
        short(knee),
        short(knee * PER_TOPIC as f64)
    ));
    let larger = PUBLISHED[1].0 as f64;
    let goal = Goal::new("the knee", knee, "publishes/s").peer(larger);
    report.goal(goal.ratio_at_least(knee / larger, 1.0, "the larger rate"));
    report.picture("sockudo", &picture)
}

impl Workload {
    fn start(server: &Server) -> io::Result<Self> {
        let start = Instant::now();
        let delivered = Arc::new(AtomicU64::new(0));
        let (mut nodes, mut latencies) = (Vec::new(), Vec::new());
        for _ in 0..NODES {
            let bus: Arc<dyn Bus> = Arc::new(Redis::new(&server.url()).map_err(failed)?);
            nodes.push(NodeThread::start(bus, Config::default())?);
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

    /// Publishes at a rate, however late deliveries are.
    fn turn(&mut self, rate: usize, time: Duration) -> io::Result<Outcome> {
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
            // What fell due during the sleep goes out together.
            let due = (start.elapsed().as_secs_f64() * rate as f64) as usize;
            while sent <= due && start.elapsed() < time {
                self.publish(sent)?;
                sent += 1;
            }
        }
        let took = start.elapsed();
        let expected = before + (sent * PER_TOPIC) as u64;
        let missing = || expected.saturating_sub(self.delivered.load(Ordering::Relaxed));
        while missing() > 0 && start.elapsed() < took + PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
        let all = self.latencies.iter().flat_map(take);
        Ok(Outcome {
            latencies: Quantiles::new(all.map(|latency| latency as f64 / 1e6)),
            rate: sent as f64 / took.as_secs_f64(),
            missing: missing(),
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
