//! What an idle connection keeps allocated, by what was asked of the allocator.

use std::alloc::System;
use std::mem::size_of;

use benches::{
    Floor, Inboxes, Locked, MEMBERS, Midplane, Plane, Sharded, count_only, id, section, targets,
};
use midplane::{Attachment, Target};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[expect(clippy::print_stdout, reason = "the benchmark's result")]
fn main() {
    section("Bytes per connection of 100,000");
    println!("| | ratio | bytes, five targets | of them its own target alone |");
    println!("|---|---:|---:|---:|");
    let floor = five_targets::<Floor>();
    for (name, bytes, own) in [
        (Floor::NAME, floor, own_target::<Floor>()),
        (
            Midplane::NAME,
            five_targets::<Midplane>(),
            own_target::<Midplane>(),
        ),
        (
            Locked::NAME,
            five_targets::<Locked>(),
            own_target::<Locked>(),
        ),
        (
            Sharded::NAME,
            five_targets::<Sharded>(),
            own_target::<Sharded>(),
        ),
    ] {
        println!("| {name} | {:.2} | {bytes:.0} | {own:.0} |", bytes / floor);
    }
    println!(
        "\nThe five are its own target, a user and a session of its own, an org of 1,000 and a topic \
         of 100."
    );
    println!(
        "An attachment is {} bytes beside that, where the host keeps it.",
        size_of::<Attachment>()
    );
    println!(
        "One more target that it has alone: {:.0} bytes.",
        further(|number| number)
    );
    println!(
        "One more target of 1,000: {:.0} bytes.",
        further(|number| number / 1_000)
    );
    println!("A mailbox that was never used: {:.0} bytes.", mailbox());
}

fn own_target<P: Plane>() -> f64 {
    let mut plane = roomy::<P>();
    per_connection(|number| plane.attach(&id(number), count_only(number)))
}

fn five_targets<P: Plane>() -> f64 {
    let mut plane = roomy::<P>();
    per_connection(|number| {
        plane.attach(&id(number), count_only(number));
        for target in targets(number) {
            plane.join_last(&target);
        }
    })
}

#[expect(clippy::unwrap_used, reason = "the text is an id")]
fn further(which: impl Fn(usize) -> usize) -> f64 {
    let mut plane = roomy::<Midplane>();
    let more = per_connection(|number| {
        plane.attach(&id(number), count_only(number));
        for target in targets(number) {
            plane.join_last(&target);
        }
        let one = Target::agent(format!("agent-{:08}", which(number))).unwrap();
        plane.join_last(&one);
    });
    drop(plane);
    more - five_targets::<Midplane>()
}

fn mailbox() -> f64 {
    let mut inboxes = Inboxes::with_capacity(MEMBERS);
    let mut senders = Vec::with_capacity(MEMBERS);
    per_connection(|_| senders.push(inboxes.open()))
}

/// The list of attachments is not the plane's.
fn roomy<P: Plane>() -> P {
    let mut plane = P::empty();
    plane.expect_connections(MEMBERS);
    plane
}

fn per_connection(mut add: impl FnMut(usize)) -> f64 {
    let region = Region::new(ALLOCATOR);
    (0..MEMBERS).for_each(&mut add);
    let change = region.change();
    (change.bytes_allocated as f64 - change.bytes_deallocated as f64) / MEMBERS as f64
}
