//! What a heartbeat costs, by how many nodes there are:
//! `cargo run --release -p midplane-conformance --example heartbeats`.
//!
//! Two nodes know all others. The others know those two alone, which spares the time that it would take to let all of them
//! know each other: what is measured is what one of the two makes and the other takes in.

use std::io::{self, Write};
use std::time::{Duration, Instant as Started};

use midplane::bus::{Lane, Limits, Outbound};
use midplane::envelope::NodeId;
use midplane::node::{Config, Node};
use midplane::{Instant, process_name};

const LIMITS: Limits = Limits::new(1 << 16);

/// The time in which a frame comes to a node.
const STEP: Duration = Duration::from_millis(50);

/// How many heartbeats the nodes have to know each other, and how many are measured.
const SETTLES: u32 = 60;
const MEASURED: u32 = 60;

/// The nodes that know all others.
const WHOLE: usize = 2;

fn main() -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(
        out,
        "Heartbeats of nodes that publish nothing, every {:?}; the medians of {MEASURED}.\n",
        Config::default().heartbeat
    )?;
    writeln!(
        out,
        "| nodes | bytes | us to make one | us to take one in | processors for all that a node takes in | received/s by all |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for nodes in [10, 100, 1_000] {
        let mut star = Star::new(nodes);
        star.run(SETTLES);
        star.forget();
        star.run(MEASURED);
        let every = Config::default().heartbeat.as_secs_f64();
        let (bytes, make, take) = (
            median(&mut star.bytes),
            median(&mut star.make),
            median(&mut star.take),
        );
        let all = nodes as f64;
        writeln!(
            out,
            "| {nodes} | {bytes:.0} | {make:.1} | {take:.2} | {:.5} | {:.0} |",
            (all * take + make) / 1e6 / every,
            all * all / every,
        )?;
    }
    Ok(())
}

/// Two nodes that know all others, and others that know those two.
struct Star {
    now: Instant,
    nodes: Vec<Node>,
    /// What was sent and did not come yet, and by which node.
    flying: Vec<(usize, Outbound)>,
    bytes: Vec<f64>,
    make: Vec<f64>,
    take: Vec<f64>,
}

impl Star {
    fn new(nodes: usize) -> Self {
        let name = process_name();
        let node = |number: usize| {
            let id = (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let mut node = Node::new(NodeId(id.to_be_bytes()), Config::default(), LIMITS);
            node.introduce(&name, "", false);
            // As Redis says who it is.
            node.connected_to("redis run id 0123456789abcdef0123456789abcdef01234567");
            node
        };
        let mut star = Self {
            now: Instant::from_origin(Duration::from_secs(86_400)),
            nodes: (0..nodes).map(node).collect(),
            flying: Vec::new(),
            bytes: Vec::new(),
            make: Vec::new(),
            take: Vec::new(),
        };
        // They do not beat all at once.
        for number in 0..nodes {
            if number % (nodes / 10) == 0 {
                star.step();
            }
            star.nodes[number].connected(star.now);
        }
        star
    }

    fn forget(&mut self) {
        self.bytes.clear();
        self.make.clear();
        self.take.clear();
    }

    fn run(&mut self, heartbeats: u32) {
        let steps = Config::default().heartbeat.as_millis() / STEP.as_millis();
        for _ in 0..steps as u32 * heartbeats {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        let arriving = std::mem::take(&mut self.flying);
        for (from, sent) in &arriving {
            for to in 0..self.nodes.len() {
                if to < WHOLE || *from < WHOLE || to == *from {
                    self.receive(*from, to, sent);
                }
            }
        }
        for from in 0..self.nodes.len() {
            self.transmit(from);
        }
    }

    fn receive(&mut self, from: usize, to: usize, sent: &Outbound) {
        let (now, node) = (self.now, &mut self.nodes[to]);
        let begin = Started::now();
        node.receive(now, Lane(0), &sent.frame);
        let took = begin.elapsed();
        while node.news().is_some() {}
        if to < WHOLE && from < WHOLE && to != from {
            self.take.push(micros(took));
        }
    }

    fn transmit(&mut self, from: usize) {
        let (now, node) = (self.now, &mut self.nodes[from]);
        let due = node.timeout().is_some_and(|due| due <= now);
        let begin = Started::now();
        if due {
            node.tick(now);
        }
        let sent = node.transmit(now);
        let took = begin.elapsed();
        while node.news().is_some() {}
        if let Some(sent) = sent {
            if from < WHOLE {
                self.make.push(micros(took));
                self.bytes.push(sent.frame.len() as f64);
            }
            self.flying.push((from, sent));
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
