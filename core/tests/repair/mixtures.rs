//! Faults drawn at random, several at once: what must hold whatever they are.

use std::collections::BTreeMap;
use std::time::Duration;

use midplane_core::node::Config;
use midplane_testkit::Random;

use crate::wire::{Wire, ms, secs};

struct Draw(Random);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0.below(end.max(1))
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn time(&mut self, most: u64) -> Duration {
        ms(self.below(most))
    }
}

/// Some nodes with some lanes; each receiver is some way off on each lane.
fn world(draw: &mut Draw, most_delay: u64, one_lost_in: Option<u64>) -> (Wire, usize, u32) {
    let (nodes, lanes) = (2 + draw.below(4) as usize, 1 + draw.below(3) as u32);
    let config = Config {
        lanes,
        ..Config::default()
    };
    let mut wire = Wire::new(nodes, config);
    let mut delays: BTreeMap<(usize, u32), Duration> = BTreeMap::new();
    let mut random = Draw(Random::new(draw.below(u64::MAX)));
    let (jitter, until) = (1 + draw.below(100), wire.now() + secs(60));
    wire.route(move |frame| {
        let lost = one_lost_in.is_some_and(|one_in| random.once_in(one_in));
        if lost && frame.from != frame.to && frame.at < until {
            return None;
        }
        let steady = delays
            .entry((frame.to, frame.lane))
            .or_insert_with(|| random.time(most_delay));
        let steady = if frame.from == frame.to {
            ms(1)
        } else {
            *steady
        };
        Some(steady + random.time(jitter) + ms(1))
    });
    (wire, nodes, lanes)
}

/// Publishes for a while, at changing rates, from anyone.
fn flow(draw: &mut Draw, wire: &mut Wire, nodes: usize, lanes: u32, duration: Duration) {
    let end = wire.now() + duration;
    while wire.now() < end {
        let (from, lane) = (
            draw.below(nodes as u64) as usize,
            draw.below(lanes.into()) as u32,
        );
        let burst = if draw.once_in(20) { 50 } else { 1 };
        // Who stands still or is gone publishes nothing.
        if !wire.history.heard[from].asleep {
            wire.publish_many(from, lane, burst);
        }
        let pause = draw.time(60).min(end - wire.now());
        wire.run(pause + ms(1));
    }
}

/// One fault of at most eight seconds, and what heals it.
fn short_fault(draw: &mut Draw, wire: &mut Wire, nodes: usize, lanes: u32) {
    let node = draw.below(nodes as u64) as usize;
    let length = draw.time(8_000);
    match draw.below(5) {
        0 => {
            wire.cut(node);
            flow(draw, wire, nodes, lanes, length);
            wire.link(node);
        }
        1 => {
            (0..nodes).for_each(|node| wire.cut(node));
            flow(draw, wire, nodes, lanes, length);
            for node in 0..nodes {
                let pause = draw.time(700);
                flow(draw, wire, nodes, lanes, pause);
                wire.link(node);
            }
        }
        2 => {
            wire.sleep(node);
            flow(draw, wire, nodes, lanes, length);
            wire.wake(node);
        }
        3 => {
            wire.cut(node);
            let other = (node + 1) % nodes;
            let half = length / 2;
            flow(draw, wire, nodes, lanes, half);
            wire.cut(other);
            wire.link(node);
            flow(draw, wire, nodes, lanes, half);
            wire.link(other);
        }
        _ => {
            for _ in 0..3 {
                wire.cut(node);
                let pause = draw.time(600);
                flow(draw, wire, nodes, lanes, pause);
                wire.link(node);
                let pause = draw.time(600);
                flow(draw, wire, nodes, lanes, pause);
            }
        }
    }
}

fn gentle(seed: u64) {
    let mut draw = Draw(Random::new(seed));
    let (mut wire, nodes, lanes) = world(&mut draw, 400, None);
    for _ in 0..3 {
        flow(&mut draw, &mut wire, nodes, lanes, secs(2));
        short_fault(&mut draw, &mut wire, nodes, lanes);
        flow(&mut draw, &mut wire, nodes, lanes, secs(12));
    }
    wire.run(secs(25));
    wire.history.assert_all_whole();
}

fn harsh(seed: u64) {
    let mut draw = Draw(Random::new(seed));
    let one_in = [None, Some(100), Some(10)][draw.below(3) as usize];
    let (mut wire, mut nodes, lanes) = world(&mut draw, 3_000, one_in);
    let mut dead = Vec::new();
    for _ in 0..4 {
        flow(&mut draw, &mut wire, nodes, lanes, secs(2));
        match draw.below(7) {
            0 => {
                let node = draw.below(nodes as u64) as usize;
                let length = draw.time(90_000);
                if !dead.contains(&node) {
                    wire.cut(node);
                    flow(&mut draw, &mut wire, nodes, lanes, length);
                    wire.link_to(node, &[]);
                }
            }
            1 => {
                let node = draw.below(nodes as u64) as usize;
                if !dead.contains(&node) && dead.len() + 2 < nodes {
                    wire.kill(node);
                    dead.push(node);
                }
            }
            2 => {
                let node = draw.below(nodes as u64) as usize;
                if !dead.contains(&node) && dead.len() + 2 < nodes {
                    wire.leave(node);
                    wire.run(secs(1));
                    wire.kill(node);
                    dead.push(node);
                }
            }
            3 => {
                nodes = wire.add() + 1;
                wire.link(nodes - 1);
            }
            4 | 5 => {
                // Lanes are left and subscribed anew.
                for _ in 0..6 {
                    let node = draw.below(nodes as u64) as usize;
                    let lane = 1 + draw.below(u64::from(lanes.max(2)) - 1) as u32;
                    if lane < lanes && !dead.contains(&node) {
                        match draw.once_in(2) {
                            true => wire.unsubscribe(node, lane),
                            false => wire.subscribe(node, lane),
                        }
                    }
                    flow(&mut draw, &mut wire, nodes, lanes, ms(700));
                }
            }
            _ => {
                let node = draw.below(nodes as u64) as usize;
                let length = draw.time(60_000);
                if !dead.contains(&node) {
                    wire.sleep(node);
                    flow(&mut draw, &mut wire, nodes, lanes, length);
                    wire.wake(node);
                }
            }
        }
        flow(&mut draw, &mut wire, nodes, lanes, secs(8));
    }
    wire.run(secs(100));
    for node in (0..nodes).filter(|node| !dead.contains(node)) {
        wire.history.assert_accounted(node);
    }
}

/// The seeds to run: a few, or as many as `REPAIR_SEEDS` says.
fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("REPAIR_SEEDS").map_or(4, |text| text.parse().unwrap());
    let first = std::env::var("REPAIR_SEED").map_or(0, |text| text.parse().unwrap());
    first..first + count
}

#[test]
fn short_faults_lose_nothing_and_nobody_is_told_anything() {
    for seed in seeds() {
        println!("seed {seed}");
        gentle(seed);
    }
}

#[test]
fn what_any_faults_cost_is_told() {
    for seed in seeds() {
        println!("seed {seed}");
        harsh(seed);
    }
}
