//! How long joins, leaves and detaches take while another thread publishes to 100,000 members.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use benches::{Locked, MEMBERS, Midplane, Plane, Quantiles, Sharded, count_only, event, id};
use futures::executor::block_on;
use midplane::{Audience, Backplane, Sink, Target};

use crate::report::{Goal, Report};

/// How many of each are timed at most, and for how long.
const TIMES: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(3);

/// How often the longest join or leave is looked for: the median of these is told.
const LONGEST_OF: usize = 5;

/// Between one and the next.
const PAUSE: Duration = Duration::from_micros(100);

/// Between the end of a publish and the next.
const GAP: Duration = Duration::from_micros(50);

/// Cycles of joining and leaving per second beside a publisher, and how long that is measured.
const CYCLES: u32 = 10_000;
const STRETCH: Duration = Duration::from_millis(300);
const STRETCHES: usize = 9;

#[expect(clippy::unwrap_used, reason = "the text is an id")]
pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let room = Target::org("everyone").unwrap();
    let mut rows = Vec::new();

    report.progress("joins, leaves and detaches beside a publisher to 100,000");
    let midplane = filled::<Midplane>(&room);
    let guest = |sink: usize| {
        midplane
            .plane
            .attach(id(MEMBERS), Sink::new(count_only(sink)))
    };
    let joined = || {
        let guest = guest(0);
        block_on(guest.associate(&room)).unwrap();
        guest
    };
    let mut longest = Vec::new();
    for time in 0..LONGEST_OF {
        let join = beside(&midplane, &room, |_| {
            let guest = guest(0);
            timed(|| block_on(guest.associate(&room)).unwrap())
        });
        let leave = beside(&midplane, &room, |_| {
            let guest = joined();
            timed(|| guest.dissociate(&room))
        });
        longest.push(join.took.at(1.0).max(leave.took.at(1.0)));
        if time == 0 {
            rows.push(row("midplane: join", &join));
            rows.push(row("midplane: leave", &leave));
        }
    }
    let outcome = beside(&midplane, &room, |_| {
        let guest = joined();
        timed(|| drop(guest))
    });
    rows.push(row("midplane: detach, not awaited", &outcome));
    let outcome = beside(&midplane, &room, |_| {
        let guest = guest(0);
        timed(|| block_on(guest.detach()))
    });
    rows.push(row("midplane: detach, awaited, in no fan-out", &outcome));
    let outcome = beside(&midplane, &room, |publisher| {
        let guest = joined();
        publisher.wait_for_next();
        timed(|| block_on(guest.detach()))
    });
    rows.push(row("midplane: detach, awaited, in the fan-out", &outcome));

    report.progress("10,000 cycles a second beside a publisher to 100,000");
    let (kept, cycles) = throughput_kept(&midplane, &room);
    drop(midplane);

    report.progress("the peers");
    let locked = filled::<Locked>(&room);
    let guest = id(MEMBERS);
    let slow = beside(&locked, &room, |_| {
        let join = timed(|| locked.join(guest.as_str(), &room));
        locked.leave(guest.as_str(), &room);
        join
    });
    rows.push(row("one RwLock: join", &slow));
    drop(locked);

    let sharded = filled::<Sharded>(&room);
    let outcome = beside(&sharded, &room, |_| {
        let join = timed(|| sharded.join(guest.as_str(), &room));
        sharded.leave(guest.as_str(), &room);
        join
    });
    rows.push(row("DashMap: join", &outcome));

    report.say("While another thread publishes to 100,000 members, in microseconds:");
    report.table(
        &["", "median", "p99", "longest", "of", "publishes meanwhile"],
        &rows,
    );
    report.say(format!(
        "With {cycles:.0} cycles a second of join and leave beside it, a thread that publishes without a \
         pause keeps {kept:.3} of its throughput (median of {STRETCHES} pairs of stretches)."
    ));
    report.say(format!(
        "The longest join or leave of each of {LONGEST_OF} times, in microseconds: {}. The system takes the processor \
         from either thread now and then, for longer than any of them works.",
        longest
            .iter()
            .map(|longest| format!("{longest:.0}"))
            .collect::<Vec<_>>()
            .join(", ")
    ));
    let longest = Quantiles::new(longest).at(0.5);
    report.goal(
        Goal::new("longest join or leave at 100,000 members", longest, "us")
            .peer(slow.took.at(1.0))
            .at_most(1_000.0),
    );
    report.goal(
        Goal::new(
            "throughput kept beside 10,000 cycles a second",
            kept,
            "of the throughput",
        )
        .ratio_at_least(kept, 0.9, "the throughput without"),
    );
    Ok(())
}

/// What a thread that publishes without a pause keeps of its throughput when another joins and leaves,
/// and how often that did.
fn throughput_kept(midplane: &Midplane, room: &Target) -> (f64, f64) {
    let publishes = |busy: bool| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let cycles = scope.spawn(|| {
                let mut cycles = 0;
                let start = Instant::now();
                while busy && !stop.load(Ordering::Relaxed) {
                    let guest = midplane.plane.attach(id(MEMBERS), Sink::new(count_only(0)));
                    let joined = block_on(guest.associate(room));
                    drop((joined, guest));
                    cycles += 1;
                    let due = start + Duration::from_secs(1) / CYCLES * cycles;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                f64::from(cycles) / start.elapsed().as_secs_f64()
            });
            let (audience, event) = (Audience::from(room.clone()), event());
            let start = Instant::now();
            let mut count = 0;
            while start.elapsed() < STRETCH {
                std::hint::black_box(midplane.publish(&audience, &event));
                count += 1;
            }
            let speed = f64::from(count) / start.elapsed().as_secs_f64();
            stop.store(true, Ordering::Relaxed);
            (speed, cycles.join().unwrap_or_default())
        })
    };
    let pairs: Vec<(f64, f64)> = (0..STRETCHES)
        .map(|_| {
            let (without, _) = publishes(false);
            let (with, cycles) = publishes(true);
            (with / without, cycles)
        })
        .collect();
    let median = |values: Vec<f64>| Quantiles::new(values).at(0.5);
    (
        median(pairs.iter().map(|pair| pair.0).collect()),
        median(pairs.iter().map(|pair| pair.1).collect()),
    )
}

fn filled<P: Plane>(room: &Target) -> P {
    let mut plane = P::empty();
    for number in 0..MEMBERS {
        plane.attach(&id(number), count_only(number));
        plane.join_last(room);
    }
    plane
}

struct Outcome {
    took: Quantiles,
    publishes: usize,
}

/// How many publishes the other thread began.
#[derive(Default)]
struct Publisher(AtomicUsize);

impl Publisher {
    /// Returns when a publish has begun since the call.
    fn wait_for_next(&self) {
        let before = self.0.load(Ordering::SeqCst);
        while self.0.load(Ordering::SeqCst) == before {
            std::hint::spin_loop();
        }
        // A publish is counted just before it takes its snapshot.
        let start = Instant::now();
        while start.elapsed() < GAP {
            std::hint::spin_loop();
        }
    }
}

/// Does the thing again and again beside a thread that publishes.
fn beside<P: Plane>(
    plane: &P,
    room: &Target,
    mut action: impl FnMut(&Publisher) -> Duration,
) -> Outcome {
    let stop = AtomicBool::new(false);
    let publisher = Publisher::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (audience, event) = (Audience::from(room.clone()), event());
            while !stop.load(Ordering::Relaxed) {
                publisher.0.fetch_add(1, Ordering::SeqCst);
                plane.publish(&audience, &event);
                // Without a gap the readers of a lock leave no writer in.
                std::thread::sleep(GAP);
            }
        });
        publisher.wait_for_next();
        let mut took = Vec::new();
        let start = Instant::now();
        while took.len() < TIMES && start.elapsed() < PATIENCE {
            took.push(action(&publisher).as_nanos() as f64 / 1e3);
            let paused = Instant::now();
            while paused.elapsed() < PAUSE {
                std::hint::spin_loop();
            }
        }
        stop.store(true, Ordering::Relaxed);
        Outcome {
            took: Quantiles::new(took),
            publishes: publisher.0.load(Ordering::Relaxed),
        }
    })
}

fn timed<T>(call: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(call());
    start.elapsed()
}

fn row(name: &str, outcome: &Outcome) -> Vec<String> {
    let Outcome { took, publishes } = outcome;
    let us = |fraction: f64| format!("{:.1}", took.at(fraction));
    vec![
        name.to_owned(),
        us(0.5),
        us(0.99),
        us(1.0),
        took.count().to_string(),
        publishes.to_string(),
    ]
}
