//! Whether publishing threads get in each other's way.

use std::io;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use benches::{Floor, Midplane, Plane, Quantiles, count_only, event, id};
use midplane::{Audience, Target};

use crate::report::{Goal, Report};

/// How long the threads publish, and how often.
const STRETCH: Duration = Duration::from_millis(120);
const ROUNDS: usize = 9;

/// Publishes between two looks at the clock.
const BATCH: usize = 64;

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let mut rows = Vec::new();
    for (name, members, alike) in [
        ("each thread to a connection of its own", 1, false),
        ("all threads to one connection", 1, true),
        ("each thread to 1,000 of its own", 1_000, false),
        ("all threads to the same 1,000", 1_000, true),
    ] {
        report.progress(name);
        let most = 4;
        let mut plane = Midplane::empty();
        let audiences: Vec<Audience> = (0..most)
            .map(|thread| audience(&mut plane, if alike { 0 } else { thread }, members))
            .collect();
        let counts = [1, 2, most];
        let mut speeds = vec![Vec::new(); counts.len()];
        for _ in 0..ROUNDS {
            for (threads, speeds) in counts.iter().zip(&mut speeds) {
                speeds.push(speed(&plane, &audiences[..*threads], members));
            }
        }
        let ratio = |at: usize| {
            let ratios = speeds[at]
                .iter()
                .zip(&speeds[0])
                .map(|(more, one)| more / one);
            Quantiles::new(ratios).at(0.5)
        };
        let one = Quantiles::new(speeds[0].clone()).at(0.5);
        rows.push(vec![
            name.to_owned(),
            format!("{:.1}", one / 1e6),
            format!("{:.2}", ratio(1)),
            format!("{:.2}", ratio(2)),
        ]);
        for (at, threads) in [(1, "two"), (2, "four")] {
            let total = Quantiles::new(speeds[at].clone()).at(0.5);
            report.goal(
                Goal::new(format!("{threads} threads, {name}"), total, "deliveries/s")
                    .ratio_at_least(ratio(at), 1.0, "one thread"),
            );
        }
    }
    report.say(format!(
        "Deliveries per second of all threads together; the floor takes no second thread ({}).",
        Floor::NAME
    ));
    report.table(
        &["", "one thread, in millions", "two, to one", "four, to one"],
        &rows,
    );
    Ok(())
}

#[expect(clippy::unwrap_used, reason = "the text is an id")]
fn audience(plane: &mut Midplane, number: usize, members: usize) -> Audience {
    let room = Target::org(format!("room-{number}")).unwrap();
    let audience = Audience::from(room.clone());
    if plane.publish(&audience, &event()) == 0 {
        for member in 0..members {
            plane.attach(&id(number * members + member), count_only(member));
            plane.join_last(&room);
        }
    }
    audience
}

/// Deliveries per second of one thread for each audience.
fn speed(plane: &Midplane, audiences: &[Audience], members: usize) -> f64 {
    let barrier = Barrier::new(audiences.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = audiences
            .iter()
            .map(|audience| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let event = event();
                    barrier.wait();
                    let start = Instant::now();
                    let mut count = 0;
                    while start.elapsed() < STRETCH {
                        for _ in 0..BATCH {
                            std::hint::black_box(plane.publish(audience, &event));
                        }
                        count += BATCH * members;
                    }
                    count as f64 / start.elapsed().as_secs_f64()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_default())
            .sum()
    })
}
