//! Publishing and joining, beside the floor and two peers.

use std::time::{Duration, Instant};

use benches::{
    Contender, Floor, Inboxes, Locked, MEMBERS, Midplane, Plane, Sharded, compare, count_only,
    event, id, per_call, section, shuffled, targets,
};
use midplane::{Audience, ConnectionId, Event, Target};

fn main() {
    section("Publish");
    for (case, members) in [
        ("to a target of one connection", 1),
        ("to 1,000 members", 1_000),
        ("to 100,000 members", MEMBERS),
    ] {
        let contenders = vec![
            fan_out::<Floor>(members),
            fan_out::<Midplane>(members),
            fan_out::<Locked>(members),
            fan_out::<Sharded>(members),
        ];
        compare(case, "delivery", contenders);
    }
    let contenders = vec![
        into_mailboxes::<Floor>(1_000),
        into_mailboxes::<Midplane>(1_000),
        into_mailboxes::<Locked>(1_000),
        into_mailboxes::<Sharded>(1_000),
    ];
    compare(
        "into the mailboxes of 1,000 members",
        "delivery",
        contenders,
    );
    let contenders = vec![
        at_random::<Floor>(),
        at_random::<Midplane>(),
        at_random::<Locked>(),
        at_random::<Sharded>(),
    ];
    compare(
        "to one connection after the other of 100,000, at random",
        "delivery",
        contenders,
    );

    section("Attach, associate with four targets, detach");
    for (case, connections) in [
        ("beside 1,000 connections", 1_000),
        ("beside 100,000 connections", MEMBERS),
    ] {
        let contenders = vec![
            come_and_go::<Floor>(connections),
            come_and_go::<Midplane>(connections),
            come_and_go::<Locked>(connections),
            come_and_go::<Sharded>(connections),
        ];
        compare(case, "connection", contenders);
    }
}

#[expect(clippy::unwrap_used, reason = "the text is an id")]
fn room() -> Target {
    Target::org("everyone").unwrap()
}

fn fan_out<P: Plane + 'static>(members: usize) -> Contender<'static> {
    let mut plane = P::empty();
    let room = room();
    for number in 0..members {
        plane.attach(&id(number), count_only(number));
        plane.join_last(&room);
    }
    let (audience, event) = (Audience::from(room), event());
    assert_eq!(plane.publish(&audience, &event), members);
    let call = move || plane.publish(&audience, &event);
    Contender::new(P::NAME, members, per_call(call))
}

fn into_mailboxes<P: Plane + 'static>(members: usize) -> Contender<'static> {
    let mut plane = P::empty();
    let room = room();
    let mut inboxes = Inboxes::default();
    for number in 0..members {
        let sender = inboxes.open();
        plane.attach(&id(number), move |event: &Event| sender.push(event));
        plane.join_last(&room);
    }
    let (audience, event) = (Audience::from(room), event());
    assert_eq!(plane.publish(&audience, &event), members);
    assert_eq!(inboxes.drain(), members);
    let call = move || plane.publish(&audience, &event);
    Contender::new(P::NAME, members, inboxes.per_call(call))
}

fn at_random<P: Plane + 'static>() -> Contender<'static> {
    let plane = crowded::<P>(MEMBERS);
    let audiences: Vec<Audience> = shuffled(MEMBERS)
        .into_iter()
        .map(|number| Target::Connection(id(number)).into())
        .collect();
    let event = event();
    let mut next = 0;
    let call = move || {
        next = (next + 1) % audiences.len();
        plane.publish(&audiences[next], &event)
    };
    Contender::new(P::NAME, 1, per_call(call))
}

fn come_and_go<P: Plane + 'static>(connections: usize) -> Contender<'static> {
    let mut plane = crowded::<P>(connections);
    // Fewer than the connections of an org, so that the arrays stay in the cache.
    let newcomers: Vec<(ConnectionId, [Target; 4])> = (connections..connections + 256)
        .map(|number| (id(number), targets(number)))
        .collect();
    let mut next = 0;
    let run = move |times| {
        let start = Instant::now();
        for _ in 0..times {
            next = (next + 1) % newcomers.len();
            let (id, targets) = &newcomers[next];
            plane.attach(id, count_only(next));
            targets.iter().for_each(|target| plane.join_last(target));
            plane.detach_last();
        }
        let took: Duration = start.elapsed();
        took
    };
    Contender::new(P::NAME, 1, run)
}

fn crowded<P: Plane>(connections: usize) -> P {
    let mut plane = P::empty();
    for number in 0..connections {
        plane.attach(&id(number), count_only(number));
        for target in targets(number) {
            plane.join_last(&target);
        }
    }
    plane
}
