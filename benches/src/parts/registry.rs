//! Publishing and joining, beside the floor and three peers.

use std::io;
use std::time::{Duration, Instant};

use benches::{
    Case, Contender, Floor, Inboxes, Locked, MEMBERS, Midplane, Plane, Rooms, Sharded, compare,
    count_only, event, id, per_call, shuffled, targets,
};
use midplane::{Audience, ConnectionId, Event, Target};

use crate::report::{Goal, Lines, Report, Scale};

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let mut speeds: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for (name, members, bound) in [
        ("publish to one connection", 1, 2.0),
        ("publish to 1,000 members, per delivery", 1_000, 2.0),
        ("publish to 100,000 members, per delivery", MEMBERS, 2.0),
    ] {
        report.progress(name);
        let contenders = vec![
            fan_out::<Floor>(members),
            fan_out::<Midplane>(members),
            fan_out::<Locked>(members),
            fan_out::<Sharded>(members),
            fan_out::<Rooms>(members),
        ];
        let case = compare(name, "delivery", contenders);
        for (at, row) in case.rows().iter().enumerate() {
            if speeds.len() == at {
                speeds.push((row.name.to_owned(), Vec::new()));
            }
            speeds[at].1.push((members as f64, row.nanoseconds));
        }
        hold(report, name, &case, bound);
    }
    report.picture(
        "publish",
        &Lines {
            title: "Nanoseconds per delivery",
            x: ("members of the target", Scale::Logarithmic),
            y: ("nanoseconds", Scale::Logarithmic),
            lines: speeds,
        },
    )?;
    let name = "publish into the mailboxes of 1,000 members";
    report.progress(name);
    let contenders = vec![
        into_mailboxes::<Floor>(1_000),
        into_mailboxes::<Midplane>(1_000),
        into_mailboxes::<Locked>(1_000),
        into_mailboxes::<Sharded>(1_000),
        into_mailboxes::<Rooms>(1_000),
    ];
    hold(report, name, &compare(name, "delivery", contenders), 1.05);
    let name = "publish to random connections of 100,000";
    report.progress(name);
    let contenders = vec![
        at_random::<Floor>(),
        at_random::<Midplane>(),
        at_random::<Locked>(),
        at_random::<Sharded>(),
        at_random::<Rooms>(),
    ];
    hold(report, name, &compare(name, "delivery", contenders), 1.1);

    for (name, connections) in [
        ("attach, four associates, detach beside 1,000", 1_000),
        ("attach, four associates, detach beside 100,000", MEMBERS),
    ] {
        report.progress(name);
        let contenders = vec![
            come_and_go::<Floor>(connections),
            come_and_go::<Midplane>(connections),
            come_and_go::<Locked>(connections),
            come_and_go::<Sharded>(connections),
            come_and_go::<Rooms>(connections),
        ];
        let case = compare(name, "connection", contenders);
        report.say(&case);
        if connections == 1_000 {
            report.goal(figure(name, &case).at_most(1_000.0));
        }
    }
    Ok(())
}

/// What midplane needs, beside the floor and the best peer.
fn figure(name: &str, case: &Case) -> Goal {
    Goal::new(name, case.row(Midplane::NAME).nanoseconds, "ns")
        .floor(case.rows()[0].nanoseconds)
        .peer(case.best_but(Midplane::NAME).nanoseconds)
}

fn hold(report: &mut Report, name: &str, case: &Case, bound: f64) {
    report.say(case);
    let ratio = case.row(Midplane::NAME).ratio;
    report.goal(figure(name, case).ratio_at_most(ratio, bound, "the floor"));
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
