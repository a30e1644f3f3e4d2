//! Publishing and joining, beside the floor and three peers.

use std::io;
use std::time::Instant;

use benches::{
    Floor, Inboxes, Locked, MEMBERS, MeasuredPlane, Midplane, Rooms, Sharded, room_of, with_targets,
};
use instructions::{event, id, idle_sink, room, targets};
use midplane::{Audience, ConnectionId, Event, Target};
use midplane_testkit::Random;

use crate::race::{Call, Figures, compare};
use crate::report::{Lines, Report, Scale};

/// One call of every plane, the floor first.
macro_rules! planes {
    ($call:ident($($argument:expr),*)) => {
        vec![
            (Floor::NAME, $call::<Floor>($($argument),*)),
            (Midplane::NAME, $call::<Midplane>($($argument),*)),
            (Locked::NAME, $call::<Locked>($($argument),*)),
            (Sharded::NAME, $call::<Sharded>($($argument),*)),
            (Rooms::NAME, $call::<Rooms>($($argument),*)),
        ]
    };
}

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let mut picture = Lines::new(
        "Nanoseconds per delivery",
        ("members of the target", Scale::Logarithmic),
        ("nanoseconds", Scale::Logarithmic),
    );
    for (name, members) in [
        ("publish to one connection", 1),
        ("publish to 1,000 members, per delivery", 1_000),
        ("publish to 100,000 members, per delivery", MEMBERS),
    ] {
        let figures = compare(report, name, "delivery", planes!(fan_out(members)))?;
        picture.points(members as f64, figures.medians());
        hold_to_floor(report, name, &figures, 2.0);
    }
    report.picture("publish", &picture)?;
    let name = "publish into the mailboxes of 1,000 members";
    let figures = compare(report, name, "delivery", planes!(into_mailboxes(1_000)))?;
    hold_to_floor(report, name, &figures, 1.05);
    let name = "publish to random connections of 100,000";
    let figures = compare(report, name, "delivery", planes!(at_random()))?;
    hold_to_floor(report, name, &figures, 1.1);

    let name = "attach, four associates, detach beside 1,000";
    let figures = compare(report, name, "connection", planes!(come_and_go(1_000)))?;
    report.goal(figures.goal(name, Midplane::NAME, "ns").at_most(1_000.0));
    let name = "attach, four associates, detach beside 100,000";
    compare(report, name, "connection", planes!(come_and_go(MEMBERS)))?;
    Ok(())
}

fn hold_to_floor(report: &mut Report, name: &str, figures: &Figures, bound: f64) {
    let (goal, ratio) = (
        figures.goal(name, Midplane::NAME, "ns"),
        figures.to_floor(Midplane::NAME),
    );
    report.goal(goal.ratio_at_most(ratio, bound, "the floor"));
}

fn fan_out<P: MeasuredPlane + 'static>(members: usize) -> Call<'static> {
    let plane: P = room_of(members, idle_sink);
    let (audience, event) = (Audience::from(room()), event());
    assert_eq!(plane.publish(&audience, &event), members);
    Call::repeated(members, move || plane.publish(&audience, &event))
}

fn into_mailboxes<P: MeasuredPlane + 'static>(members: usize) -> Call<'static> {
    let mut inboxes = Inboxes::default();
    let plane: P = room_of(members, |_| {
        let sender = inboxes.open();
        move |event: &Event| sender.push(event)
    });
    let (audience, event) = (Audience::from(room()), event());
    assert_eq!(plane.publish(&audience, &event), members);
    assert_eq!(inboxes.drain(), members);
    let publish = move || plane.publish(&audience, &event);
    Call::new(members, inboxes.per_call(publish))
}

fn at_random<P: MeasuredPlane + 'static>() -> Call<'static> {
    let plane: P = filled(MEMBERS);
    let mut numbers: Vec<usize> = (0..MEMBERS).collect();
    // An order that no cache foresees, equal in every run.
    let mut random = Random::new(1);
    for last in (1..MEMBERS).rev() {
        numbers.swap(last, random.below(last as u64 + 1) as usize);
    }
    let audience = |number| Audience::from(Target::Connection(id(number)));
    let audiences: Vec<Audience> = numbers.into_iter().map(audience).collect();
    let (event, mut next) = (event(), 0);
    Call::repeated(1, move || {
        next = (next + 1) % audiences.len();
        plane.publish(&audiences[next], &event)
    })
}

fn come_and_go<P: MeasuredPlane + 'static>(connections: usize) -> Call<'static> {
    let mut plane: P = filled(connections);
    // Fewer than the connections of an org, so that the arrays stay in the cache.
    let newcomers: Vec<(ConnectionId, [Target; 4])> = (connections..connections + 256)
        .map(|number| (id(number), targets(number, number % (MEMBERS / 100))))
        .collect();
    let mut next = 0;
    Call::new(1, move |times| {
        let start = Instant::now();
        for _ in 0..times {
            next = (next + 1) % newcomers.len();
            let (id, targets) = &newcomers[next];
            plane.attach(id, idle_sink(next));
            targets.iter().for_each(|target| plane.join_last(target));
            plane.detach_last();
        }
        start.elapsed()
    })
}

fn filled<P: MeasuredPlane>(connections: usize) -> P {
    let mut plane = P::empty();
    for number in 0..connections {
        with_targets(&mut plane, number, MEMBERS);
    }
    plane
}
