//! Joins, leaves and detaches beside a thread that publishes to 100,000 members.

use std::hint::{black_box, spin_loop};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use benches::{Locked, MEMBERS, MeasuredPlane, Midplane, Quantiles, Sharded, room_of};
use futures::executor::block_on;
use instructions::{event, id, idle_sink, room};
use midplane::{Attachment, Audience, Backplane, Sink, Target};

use crate::race::race;
use crate::report::{Goal, Report};

/// How many calls are timed at most, and for how long.
const CALLS: usize = 2_000;
const TIME: Duration = Duration::from_secs(3);

/// How often the longest join or leave is looked for; the goal is held against the median.
const LONGEST_OF: usize = 5;

/// Between two timed calls.
const PAUSE: Duration = Duration::from_micros(100);

/// Between the end of a publish and the next.
const GAP: Duration = Duration::from_micros(50);

/// Cycles of joining and leaving per second beside a publisher, and how long and how often that is measured.
const CYCLES: u32 = 10_000;
const TURN: Duration = Duration::from_millis(300);
const ROUNDS: usize = 9;

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    report.progress("joins, leaves and detaches beside a publisher to 100,000");
    let room = room();
    let midplane: Midplane = room_of(MEMBERS, idle_sink);
    let mut rows = Vec::new();
    let mut longest = Vec::new();
    for time in 0..LONGEST_OF {
        let join = beside(&midplane, |_| {
            let guest = attach(&midplane);
            timed(|| join(&guest, &room))
        });
        let leave = beside(&midplane, |_| {
            let guest = joined(&midplane, &room);
            timed(|| guest.dissociate(&room))
        });
        longest.push(join.took.at(1.0).max(leave.took.at(1.0)));
        if time == 0 {
            rows.push(join.row("midplane: join"));
            rows.push(leave.row("midplane: leave"));
        }
    }
    let detach = beside(&midplane, |_| {
        let guest = joined(&midplane, &room);
        timed(|| drop(guest))
    });
    rows.push(detach.row("midplane: detach, not awaited"));
    let detach = beside(&midplane, |_| {
        let guest = attach(&midplane);
        timed(|| block_on(guest.detach()))
    });
    rows.push(detach.row("midplane: detach, awaited, in no fan-out"));
    let detach = beside(&midplane, |publisher| {
        let guest = joined(&midplane, &room);
        publisher.wait_for_next();
        timed(|| block_on(guest.detach()))
    });
    rows.push(detach.row("midplane: detach, awaited, in the fan-out"));

    report.progress("10,000 cycles a second beside a publisher to 100,000");
    let mut contenders = [("without", false), ("with", true)];
    let race = race(&mut contenders, ROUNDS, |busy| {
        Ok(throughput(&midplane, &room, *busy))
    })?;
    let kept = race.most(|(publishes, _)| *publishes);
    let kept = kept.ratio("with", "without");
    let cycles = race.most(|(_, cycles)| *cycles).of("with");
    drop(midplane);

    report.progress("the peers");
    let guest = id(MEMBERS);
    let locked: Locked = room_of(MEMBERS, idle_sink);
    let slow = beside(&locked, |_| {
        let join = timed(|| locked.join(guest.as_str(), &room));
        locked.leave(guest.as_str(), &room);
        join
    });
    rows.push(slow.row("one RwLock: join"));
    drop(locked);
    let sharded: Sharded = room_of(MEMBERS, idle_sink);
    let join = beside(&sharded, |_| {
        let join = timed(|| sharded.join(guest.as_str(), &room));
        sharded.leave(guest.as_str(), &room);
        join
    });
    rows.push(join.row("DashMap: join"));

    report.say("While another thread publishes to 100,000 members, in microseconds:");
    report.table(
        &["", "median", "p99", "longest", "of", "publishes meanwhile"],
        &rows,
    );
    report.say(format!(
        "With {cycles:.0} cycles a second of join and leave beside it, a thread that publishes without a \
         pause keeps {kept:.3} of its throughput (median of {ROUNDS} pairs of turns)."
    ));
    let each: Vec<String> = longest.iter().map(|us| format!("{us:.0}")).collect();
    report.say(format!(
        "The longest join or leave of each of {LONGEST_OF} times, in microseconds: {}. The system takes the processor \
         from either thread now and then, for longer than any of these calls works.",
        each.join(", ")
    ));
    let longest = Quantiles::new(longest).at(0.5);
    let goal = Goal::new("longest join or leave at 100,000 members", longest, "us");
    report.goal(goal.peer(slow.took.at(1.0)).at_most(1_000.0));
    let figure = "throughput kept beside 10,000 cycles a second";
    let goal = Goal::new(figure, kept, "of the throughput");
    report.goal(goal.ratio_at_least(kept, 0.9, "the throughput without"));
    Ok(())
}

fn attach(midplane: &Midplane) -> Attachment {
    let sink = Sink::new(idle_sink(MEMBERS));
    midplane.plane.attach(id(MEMBERS), sink)
}

#[expect(clippy::unwrap_used, reason = "a local plane refuses no target")]
fn join(guest: &Attachment, room: &Target) {
    block_on(guest.associate(room)).unwrap();
}

fn joined(midplane: &Midplane, room: &Target) -> Attachment {
    let guest = attach(midplane);
    join(&guest, room);
    guest
}

/// Publishes per second of a thread that makes no pause, and cycles per second of another that joins and leaves, if it is
/// busy.
fn throughput(midplane: &Midplane, room: &Target, busy: bool) -> (f64, f64) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let cycles = scope.spawn(|| {
            let mut cycles = 0;
            let start = Instant::now();
            while busy && !stop.load(Ordering::Relaxed) {
                drop(joined(midplane, room));
                cycles += 1;
                let due = start + Duration::from_secs(1) / CYCLES * cycles;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            f64::from(cycles) / start.elapsed().as_secs_f64()
        });
        let (audience, event) = (Audience::from(room.clone()), event());
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < TURN {
            black_box(midplane.publish(&audience, &event));
            count += 1;
        }
        let publishes = f64::from(count) / start.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        (publishes, cycles.join().unwrap_or_default())
    })
}

/// What calls beside a publisher took, in microseconds, and the number of publishes meanwhile.
struct Calls {
    took: Quantiles,
    publishes: usize,
}

impl Calls {
    fn row(&self, name: &str) -> Vec<String> {
        let us = |fraction: f64| format!("{:.1}", self.took.at(fraction));
        vec![
            name.to_owned(),
            us(0.5),
            us(0.99),
            us(1.0),
            self.took.count().to_string(),
            self.publishes.to_string(),
        ]
    }
}

/// The publishes that another thread began.
#[derive(Default)]
struct Publisher(AtomicUsize);

impl Publisher {
    /// Returns when a publish has begun since the call.
    fn wait_for_next(&self) {
        let before = self.0.load(Ordering::SeqCst);
        while self.0.load(Ordering::SeqCst) == before {
            spin_loop();
        }
        // A publish is counted just before it takes its snapshot.
        spin(GAP);
    }
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        spin_loop();
    }
}

/// Repeats a timed call beside a thread that publishes to the room.
fn beside<P: MeasuredPlane>(plane: &P, mut call: impl FnMut(&Publisher) -> Duration) -> Calls {
    let stop = AtomicBool::new(false);
    let publisher = Publisher::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (audience, event) = (Audience::from(room()), event());
            while !stop.load(Ordering::Relaxed) {
                publisher.0.fetch_add(1, Ordering::SeqCst);
                plane.publish(&audience, &event);
                // Without a gap the readers of a lock let no writer in.
                thread::sleep(GAP);
            }
        });
        publisher.wait_for_next();
        let mut took = Vec::new();
        let start = Instant::now();
        while took.len() < CALLS && start.elapsed() < TIME {
            took.push(call(&publisher).as_nanos() as f64 / 1e3);
            spin(PAUSE);
        }
        stop.store(true, Ordering::Relaxed);
        Calls {
            took: Quantiles::new(took),
            publishes: publisher.0.load(Ordering::Relaxed),
        }
    })
}

fn timed<T>(call: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(call());
    start.elapsed()
}
