//! What an idle connection keeps allocated, by what was asked of the allocator, as lines of JSON.

use std::alloc::System;
use std::mem::size_of;

use benches::memory::Found;
use benches::{
    Floor, Inboxes, Locked, Midplane, Plane, Rooms, Sharded, count_only, id, targets_among,
};
use midplane::{Attachment, Target};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The connections of each case.
const COUNTS: [usize; 3] = [10_000, 100_000, 1_000_000];

fn main() {
    for count in COUNTS {
        tell::<Floor>(count);
        tell::<Midplane>(count);
        tell::<Locked>(count);
        tell::<Sharded>(count);
        tell::<Rooms>(count);
    }
    let count = 100_000;
    for (name, bytes) in [
        (
            "an attachment, where the host keeps it",
            size_of::<Attachment>() as f64,
        ),
        (
            "one more target that it has alone",
            further(count, |number| number),
        ),
        (
            "one more target of 1,000",
            further(count, |number| number / 1_000),
        ),
        ("a mailbox that was never used", mailbox(count)),
    ] {
        say(name, 1, bytes);
    }
}

fn tell<P: Plane>(count: usize) {
    say(P::NAME, count, five_targets::<P>(count));
}

#[expect(clippy::print_stdout, reason = "what whoever started this reads")]
fn say(name: &str, count: usize, bytes: f64) {
    let found = Found {
        name: name.into(),
        count,
        bytes,
    };
    // Three plain fields always are JSON.
    if let Ok(line) = serde_json::to_string(&found) {
        println!("{line}");
    }
}

fn five_targets<P: Plane>(count: usize) -> f64 {
    let mut plane = roomy::<P>(count);
    per_connection(count, |number| {
        plane.attach(&id(number), count_only(number));
        for target in targets_among(number, count) {
            plane.join_last(&target);
        }
    })
}

#[expect(clippy::unwrap_used, reason = "the text is an id")]
fn further(count: usize, which: impl Fn(usize) -> usize) -> f64 {
    let mut plane = roomy::<Midplane>(count);
    let more = per_connection(count, |number| {
        plane.attach(&id(number), count_only(number));
        for target in targets_among(number, count) {
            plane.join_last(&target);
        }
        let one = Target::agent(format!("agent-{:08}", which(number))).unwrap();
        plane.join_last(&one);
    });
    drop(plane);
    more - five_targets::<Midplane>(count)
}

fn mailbox(count: usize) -> f64 {
    let mut inboxes = Inboxes::with_capacity(count);
    let mut senders = Vec::with_capacity(count);
    per_connection(count, |_| senders.push(inboxes.open()))
}

/// The list of attachments is not the plane's.
fn roomy<P: Plane>(count: usize) -> P {
    let mut plane = P::empty();
    plane.expect_connections(count);
    plane
}

fn per_connection(count: usize, mut add: impl FnMut(usize)) -> f64 {
    let region = Region::new(ALLOCATOR);
    (0..count).for_each(&mut add);
    let change = region.change();
    (change.bytes_allocated as f64 - change.bytes_deallocated as f64) / count as f64
}
