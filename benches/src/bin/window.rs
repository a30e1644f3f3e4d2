//! The bytes that a node keeps allocated for the events that it would send again, as lines of JSON.

use std::alloc::System;
use std::time::Duration;

use benches::Allocated;
use instructions::topic;
use midplane::bus::Limits;
use midplane::envelope::NodeId;
use midplane::node::{Config, Intake, Node, Queued};
use midplane::{Event, Instant, Refusal, Scope};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The events that are kept.
const EVENTS: usize = 64_000;

/// The bytes of an event.
const SIZE: usize = 64;

const LIMITS: Limits = Limits::new(1 << 20);

fn main() -> Result<(), Refusal> {
    for events in [1, 64] {
        let (allocated, counted) = kept(events)?;
        let each = match events {
            1 => "one event".to_owned(),
            events => format!("{events} events"),
        };
        print(
            &format!("1,000 kept events of {SIZE} bytes in frames of {each}"),
            allocated,
        );
        print(&format!("what `keep` counts for them, {each}"), counted);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what the parent process reads")]
fn print(name: &str, bytes: f64) {
    let allocated = Allocated {
        name: name.into(),
        count: 1,
        bytes,
    };
    // Three plain fields always are JSON.
    if let Ok(line) = serde_json::to_string(&allocated) {
        println!("{line}");
    }
}

/// The bytes of 1,000 kept events in frames of so many events each, by the allocator and by the node's own count.
fn kept(events: usize) -> Result<(f64, f64), Refusal> {
    let config = Config {
        keep: usize::MAX,
        ..Config::default()
    };
    let mut node = Node::new(NodeId([7; 16]), config, LIMITS);
    let mut now = Instant::ZERO;
    node.connected(now);
    while !node.is_live() {
        now += Duration::from_millis(50);
        node.tick(now);
        while let Some(sent) = node.transmit(now) {
            node.receive(now, sent.lane, &sent.frame);
        }
        while node.news().is_some() {}
    }
    now += config.heartbeat;
    let (audience, event) = (topic(0).into(), Event::binary(vec![b'x'; SIZE]));
    let queued = Intake::new(1, LIMITS).publish(now, &Scope::default(), &audience, &event)?;
    let region = Region::new(ALLOCATOR);
    for _ in 0..EVENTS / events {
        for _ in 0..events {
            let queued = queued.clone();
            node.enqueue(Queued {
                since: now,
                ..queued
            });
        }
        while node.queued() > 0 {
            drop(node.transmit(now));
        }
    }
    let change = region.change();
    let allocated = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
    let thousand = |bytes: f64| bytes * 1e3 / EVENTS as f64;
    Ok((thousand(allocated), thousand(node.repair_bytes().0 as f64)))
}
