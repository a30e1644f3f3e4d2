//! Threads that publish at the same time.

use std::io;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use benches::{Floor, MeasuredPlane, Midplane};
use instructions::{event, id, idle_sink};
use midplane::{Audience, Target};

use crate::race::race;
use crate::report::{Goal, Report};

/// How long the threads publish in a turn, and how many turns there are.
const TURN: Duration = Duration::from_millis(120);
const ROUNDS: usize = 9;

/// Publishes between two looks at the clock.
const BATCH: usize = 64;

/// The contenders, by their numbers of threads.
const THREADS: [(&str, usize); 3] = [("one", 1), ("two", 2), ("four", 4)];

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let mut rows = Vec::new();
    for (name, members, alike) in [
        ("each thread to a connection of its own", 1, false),
        ("all threads to one connection", 1, true),
        ("each thread to 1,000 of its own", 1_000, false),
        ("all threads to the same 1,000", 1_000, true),
    ] {
        report.progress(name);
        let mut plane = Midplane::empty();
        let rooms = if alike { 1 } else { 4 };
        let rooms: Vec<Audience> = (0..rooms)
            .map(|number| add_room(&mut plane, number, members))
            .collect();
        let audiences: Vec<&Audience> = rooms.iter().cycle().take(4).collect();
        let race = race(&mut THREADS.clone(), ROUNDS, |threads| {
            Ok(speed(&plane, &audiences[..*threads], members))
        })?;
        let speeds = race.most(|speed| *speed);
        rows.push(vec![
            name.to_owned(),
            format!("{:.1}", speeds.floor() / 1e6),
            format!("{:.2}", speeds.to_floor("two")),
            format!("{:.2}", speeds.to_floor("four")),
        ]);
        for threads in ["two", "four"] {
            let figure = format!("{threads} threads, {name}");
            let goal = Goal::new(figure, speeds.of(threads), "deliveries/s");
            report.goal(goal.ratio_at_least(speeds.to_floor(threads), 1.0, "one thread"));
        }
    }
    report.say(format!(
        "Deliveries per second of all threads together. The floor takes no second thread ({}).",
        Floor::NAME
    ));
    report.table(
        &["", "one thread, in millions", "two, to one", "four, to one"],
        &rows,
    );
    Ok(())
}

#[expect(clippy::unwrap_used, reason = "the text is an id")]
fn add_room(plane: &mut Midplane, number: usize, members: usize) -> Audience {
    let room = Target::org(format!("room-{number}")).unwrap();
    for member in 0..members {
        plane.attach(&id(number * members + member), idle_sink(member));
        plane.join_last(&room);
    }
    room.into()
}

/// Deliveries per second of one thread for each audience.
fn speed(plane: &Midplane, audiences: &[&Audience], members: usize) -> f64 {
    let barrier = Barrier::new(audiences.len());
    let publish = |audience: &Audience| {
        let event = event();
        barrier.wait();
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < TURN {
            for _ in 0..BATCH {
                std::hint::black_box(plane.publish(audience, &event));
            }
            count += BATCH * members;
        }
        count as f64 / start.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = audiences
            .iter()
            .map(|audience| scope.spawn(|| publish(audience)))
            .collect();
        let speeds = threads.into_iter().map(|thread| thread.join());
        speeds.map(Result::unwrap_or_default).sum()
    })
}
