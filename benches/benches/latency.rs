//! How long joins, leaves and detaches take while another thread publishes to 100,000 members.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use benches::{
    Locked, MEMBERS, Midplane, Plane, Quantiles, Sharded, count_only, event, id, section,
};
use futures::executor::block_on;
use midplane::{Audience, Backplane, Sink, Target};

/// How many of each are timed at most, and for how long.
const TIMES: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(3);

/// Between one and the next.
const PAUSE: Duration = Duration::from_micros(100);

/// Between the end of a publish and the next.
const GAP: Duration = Duration::from_micros(50);

#[expect(clippy::unwrap_used, reason = "the text is an id")]
#[expect(clippy::print_stdout, reason = "the benchmark's result")]
fn main() {
    section("While another thread publishes to 100,000 members, in microseconds");
    println!("| | median | p99 | largest | of | publishes meanwhile |");
    println!("|---|---:|---:|---:|---:|---:|");
    let room = Target::org("everyone").unwrap();

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
    let outcome = beside(&midplane, &room, |_| {
        let guest = guest(0);
        timed(|| block_on(guest.associate(&room)).unwrap())
    });
    print("midplane: join", &outcome);
    let outcome = beside(&midplane, &room, |_| {
        let guest = joined();
        timed(|| guest.dissociate(&room))
    });
    print("midplane: leave", &outcome);
    let outcome = beside(&midplane, &room, |_| {
        let guest = joined();
        timed(|| drop(guest))
    });
    print("midplane: detach, not awaited", &outcome);
    let outcome = beside(&midplane, &room, |_| {
        let guest = guest(0);
        timed(|| block_on(guest.detach()))
    });
    print("midplane: detach, awaited, in no fan-out", &outcome);
    let outcome = beside(&midplane, &room, |publisher| {
        let guest = joined();
        publisher.wait_for_next();
        timed(|| block_on(guest.detach()))
    });
    print("midplane: detach, awaited, in the fan-out", &outcome);
    drop(midplane);

    let locked = filled::<Locked>(&room);
    let guest = id(MEMBERS);
    let outcome = beside(&locked, &room, |_| {
        let join = timed(|| locked.join(guest.as_str(), &room));
        locked.leave(guest.as_str(), &room);
        join
    });
    print("one RwLock: join", &outcome);
    drop(locked);

    let sharded = filled::<Sharded>(&room);
    let outcome = beside(&sharded, &room, |_| {
        let join = timed(|| sharded.join(guest.as_str(), &room));
        sharded.leave(guest.as_str(), &room);
        join
    });
    print("DashMap: join", &outcome);
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

#[expect(clippy::print_stdout, reason = "the benchmark's result")]
fn print(name: &str, outcome: &Outcome) {
    let Outcome { took, publishes } = outcome;
    println!(
        "| {name} | {:.1} | {:.1} | {:.1} | {} | {publishes} |",
        took.at(0.5),
        took.at(0.99),
        took.at(1.0),
        took.count(),
    );
}
