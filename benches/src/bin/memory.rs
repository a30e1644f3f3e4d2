//! The bytes that an idle connection keeps allocated, as lines of JSON.

use std::alloc::System;
use std::mem::size_of;

use benches::{
    Allocated, Floor, Inboxes, Locked, MEMBERS, MeasuredPlane, Midplane, Rooms, Sharded,
    with_targets,
};
use midplane::{Attachment, Target};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The connections of each case.
const COUNTS: [usize; 3] = [10_000, 100_000, 1_000_000];

fn main() {
    for count in COUNTS {
        plane::<Floor>(count);
        plane::<Midplane>(count);
        plane::<Locked>(count);
        plane::<Sharded>(count);
        plane::<Rooms>(count);
    }
    print(
        "an attachment, where the host keeps it",
        1,
        size_of::<Attachment>() as f64,
    );
    let one_more = |which: fn(usize) -> usize| connections::<Midplane>(MEMBERS, Some(which));
    let five = connections::<Midplane>(MEMBERS, None);
    let alone = one_more(|number| number) - five;
    print("one more target that it has alone", 1, alone);
    let shared = one_more(|number| number / 1_000) - five;
    print("one more target of 1,000", 1, shared);
    let mut inboxes = Inboxes::with_capacity(MEMBERS);
    let mut senders = Vec::with_capacity(MEMBERS);
    let mailbox = per_connection(MEMBERS, |_| senders.push(inboxes.open()));
    print("a mailbox that was never used", 1, mailbox);
}

fn plane<P: MeasuredPlane>(count: usize) {
    print(P::NAME, count, connections::<P>(count, None));
}

#[expect(clippy::print_stdout, reason = "what the parent process reads")]
fn print(name: &str, count: usize, bytes: f64) {
    let allocated = Allocated {
        name: name.into(),
        count,
        bytes,
    };
    // Three plain fields always are JSON.
    if let Ok(line) = serde_json::to_string(&allocated) {
        println!("{line}");
    }
}

/// Bytes of each connection in five targets, or in a sixth with a numbered agent.
#[expect(clippy::unwrap_used, reason = "the text is an id")]
fn connections<P: MeasuredPlane>(count: usize, agent: Option<fn(usize) -> usize>) -> f64 {
    let mut plane = P::empty();
    plane.expect_connections(count);
    per_connection(count, |number| {
        with_targets(&mut plane, number, count);
        if let Some(agent) = agent {
            let agent = format!("agent-{:08}", agent(number));
            plane.join_last(&Target::agent(agent).unwrap());
        }
    })
}

fn per_connection(count: usize, mut add: impl FnMut(usize)) -> f64 {
    let region = Region::new(ALLOCATOR);
    (0..count).for_each(&mut add);
    let change = region.change();
    (change.bytes_allocated as f64 - change.bytes_deallocated as f64) / count as f64
}
