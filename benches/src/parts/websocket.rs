//! One event to 1,000 WebSocket clients: the example servers, the floor and the peers.

use std::io;

use benches::load::{Order, Outcome, Pace};

use super::servers::Contender;
use crate::race::{Race, race};
use crate::report::{Goal, Lines, Report, Scale};

const CLIENTS: usize = 1_000;
const SIZES: [usize; 2] = [64, 1_024];
const FLIGHTS: [usize; 3] = [1, 4, 16];

/// The turns of each contender, and the milliseconds of a turn.
const ROUNDS: usize = 5;
const TURN: u64 = 700;

const SOCKETIOXIDE: &str = "socketioxide";

/// The example servers.
pub(super) const OURS: [&str; 2] = ["midplane on tokio", "midplane on smol"];

/// The arguments of the example servers. The limit is for the parts about memory and endurance.
pub(super) const SERVE: &[&str] = &["--listen", "127.0.0.1:0", "--max-connections", "60000"];

/// The floor first, then midplane, then the peers.
pub(super) const CONTENDERS: &[Contender] = &[
    Contender::new(
        "floor: an epoll loop that writes ready frames",
        "floor",
        &[],
        "plain",
    ),
    Contender::new(OURS[0], "tokio-server", SERVE, "midplane"),
    Contender::new(OURS[1], "smol-server", SERVE, "midplane"),
    Contender::new("midplane-axum", "axum-plane", &[], "plain"),
    Contender::new("axum, a plain broadcast", "axum", &["plain"], "plain"),
    Contender::new("axum, 4 KiB to read into", "axum", &["tuned"], "plain"),
    Contender::new(
        "axum, a writer that flushes once",
        "axum",
        &["split"],
        "plain",
    ),
    Contender::new(SOCKETIOXIDE, "socketioxide", &[], "socketio"),
    Contender::new("node with ws", "ws.js", &[], "plain"),
];

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let mut contenders = Vec::new();
    for contender in CONTENDERS {
        if contender.is_there(report) {
            report.progress(format!("starting {}", contender.name));
            let server = contender.start(&[])?;
            let load = contender.load(&server, &server, CLIENTS)?;
            contenders.push((contender.name, (load, server)));
        }
    }
    for size in SIZES {
        let mut picture = Lines::new(
            format!("Deliveries per second to {CLIENTS} clients, {size} bytes"),
            ("events in flight", Scale::Linear),
            ("deliveries per second", Scale::Linear),
        );
        for flight in FLIGHTS {
            report.progress(format!("{size} bytes, {flight} in flight"));
            let order = Order {
                pace: Pace::Flight(flight),
                bytes: size,
                milliseconds: TURN,
            };
            let race = race(&mut contenders, ROUNDS, |(load, _)| load.run(order))?;
            picture.points(flight as f64, race.most(Outcome::speed).medians());
            write(report, size, flight, &race);
        }
        report.picture(&format!("websocket-{size}"), &picture)?;
    }
    Ok(())
}

/// The table of a case and its goals.
fn write(report: &mut Report, size: usize, flight: usize, race: &Race<Outcome>) {
    let case = format!("{size} bytes, {flight} in flight");
    let (speed, cost) = (race.most(Outcome::speed), race.least(Outcome::cost));
    let milliseconds = |of: fn(&Outcome) -> f64| race.least(move |run| of(run) / 1e3);
    let (p50, p99) = (milliseconds(|run| run.p50), milliseconds(|run| run.p99));
    report.say(format!("### {case}"));
    report.columns(
        speed.names(),
        &[
            ("to the floor", &speed.to_floor_fixed(2)),
            ("deliveries/s", &speed.short()),
            ("processor, us each", &cost.fixed(2)),
            ("p50, ms", &p50.fixed(1)),
            ("p99, ms", &p99.fixed(1)),
        ],
    );
    for name in speed.ours() {
        let figure = format!("throughput, {case}, {name}");
        let goal = || speed.goal(&*figure, name, "deliveries/s");
        if flight == 1 {
            report.goal(goal().ratio_at_least(speed.to_floor(name), 0.85, "the floor"));
        } else {
            report.goal(speed.goal_to_peer(&*figure, name, "deliveries/s", 1.0));
            let ratio = speed.of(name) / speed.of(SOCKETIOXIDE);
            report.goal(goal().ratio_at_least(ratio, 1.5, SOCKETIOXIDE));
        }
        let figure = format!("processor time per delivery, {case}, {name}");
        report.goal(cost.goal_to_peer(figure, name, "us", 1.0));
        let figure = format!("p99, {case}, {name}");
        let p99 = race.least(|run| run.p99);
        report.goal(p99.goal_to_peer(figure, name, "us", 1.0));
    }
    let [tokio, smol] = OURS.map(|name| speed.of(name));
    let goal = Goal::new(format!("smol beside tokio, {case}"), smol, "deliveries/s");
    report.goal(goal.ratio_at_least(smol / tokio, 0.85, "tokio"));
}
