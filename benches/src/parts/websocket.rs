//! One event to 1,000 WebSocket clients: the example servers, the floor and the peers, each a process,
//! each with a load generator of its own.

use std::io;

use benches::Quantiles;
use benches::load::Outcome;

use super::servers::{Contender, Running, rounds};
use crate::report::{Goal, Lines, Report, Scale, short};

const CLIENTS: usize = 1_000;
const SIZES: [usize; 2] = [64, 1_024];
const FLIGHTS: [usize; 3] = [1, 4, 16];

/// How often each contender has its turn, and for how long.
const ROUNDS: usize = 5;
const TURN: u64 = 700;

const FLOOR: &str = "floor: an epoll loop that writes ready frames";
const SOCKETIOXIDE: &str = "socketioxide";

/// The example servers.
pub(super) const OURS: [&str; 2] = ["midplane on tokio", "midplane on smol"];

/// Whom the command line of the example servers names; the limit is for the parts about memory and endurance.
pub(super) const SERVE: &[&str] = &["--listen", "127.0.0.1:0", "--max-connections", "60000"];

/// The floor first, then ours, then the peers.
pub(super) const CONTENDERS: &[Contender] = &[
    Contender::new(FLOOR, "floor", &[], "plain"),
    Contender::new(OURS[0], "tokio-server", SERVE, "midplane"),
    Contender::new(OURS[1], "smol-server", SERVE, "midplane"),
    Contender::new("axum, a plain broadcast", "axum", &["plain"], "plain"),
    Contender::new(
        "the same with 4 KiB to read into",
        "axum",
        &["tuned"],
        "plain",
    ),
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
    let (mut servers, mut running) = (Vec::new(), Vec::new());
    for contender in CONTENDERS {
        report.progress(format!("starting {}", contender.name));
        match contender.start(&[])? {
            Ok(server) => {
                let load = contender.load(&server, &server, CLIENTS)?;
                running.push(Running::new(contender.name, load));
                servers.push(server);
            }
            Err(why) => report.say(format!("{} is absent: {why}", contender.name)),
        }
    }
    for size in SIZES {
        let mut speeds: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
        for flight in FLIGHTS {
            report.progress(format!("{size} bytes, {flight} in flight"));
            rounds(&mut running, ROUNDS, |load| load.flight(size, flight, TURN))?;
            tell(report, size, flight, &running);
            for (at, one) in running.iter().enumerate() {
                if speeds.len() == at {
                    speeds.push((one.name.to_owned(), Vec::new()));
                }
                speeds[at]
                    .1
                    .push((flight as f64, one.median(Outcome::speed)));
            }
        }
        let title = format!("Deliveries per second to {CLIENTS} clients, {size} bytes");
        report.picture(
            &format!("websocket-{size}"),
            &Lines {
                title: &title,
                x: ("events in flight", Scale::Linear),
                y: ("deliveries per second", Scale::Linear),
                lines: speeds,
            },
        )?;
    }
    Ok(())
}

/// The table of a case and the goals it is held against.
fn tell(report: &mut Report, size: usize, flight: usize, running: &[Running]) {
    let ratio_to_floor = |one: &Running| {
        let pairs = one.outcomes.iter().zip(&running[0].outcomes);
        Quantiles::new(pairs.map(|(one, floor)| one.speed() / floor.speed())).at(0.5)
    };
    report.say(format!("### {size} bytes, {flight} in flight"));
    let rows: Vec<Vec<String>> = running
        .iter()
        .map(|one| {
            vec![
                one.name.to_owned(),
                format!("{:.2}", ratio_to_floor(one)),
                short(one.median(Outcome::speed)),
                format!("{:.2}", one.median(Outcome::cost)),
                format!("{:.1}", one.median(|outcome| outcome.p50) / 1e3),
                format!("{:.1}", one.median(|outcome| outcome.p99) / 1e3),
            ]
        })
        .collect();
    report.table(
        &[
            "",
            "to the floor",
            "deliveries/s",
            "processor, us each",
            "p50, ms",
            "p99, ms",
        ],
        &rows,
    );
    let case = format!("{size} bytes, {flight} in flight");
    let (floor, others) = (&running[0], &running[1..]);
    let (ours, peers): (Vec<&Running>, Vec<&Running>) =
        others.iter().partition(|one| OURS.contains(&one.name));
    let best = |of: &dyn Fn(&Running) -> f64, pick: fn(f64, f64) -> f64, start: f64| {
        peers.iter().map(|peer| of(peer)).fold(start, pick)
    };
    let speed = |one: &Running| one.median(Outcome::speed);
    let cost = |one: &Running| one.median(Outcome::cost);
    let p99 = |one: &Running| one.median(|outcome| outcome.p99);
    let fastest = best(&speed, f64::max, 0.0);
    let (cheapest, promptest) = (
        best(&cost, f64::min, f64::INFINITY),
        best(&p99, f64::min, f64::INFINITY),
    );
    let socketioxide = peers
        .iter()
        .find(|peer| peer.name == SOCKETIOXIDE)
        .map_or(f64::NAN, |peer| speed(peer));
    for one in &ours {
        let name = one.name;
        let goal = |what: &str, value: f64, unit: &str| {
            Goal::new(format!("{what}, {case}, {name}"), value, unit)
        };
        let fast = || {
            goal("throughput", speed(one), "deliveries/s")
                .floor(speed(floor))
                .peer(fastest)
        };
        if flight == 1 {
            report.goal(fast().ratio_at_least(ratio_to_floor(one), 0.85, "the floor"));
        } else {
            report.goal(fast().ratio_at_least(speed(one) / fastest, 1.0, "the best peer"));
            let ratio = speed(one) / socketioxide;
            report.goal(fast().ratio_at_least(ratio, 1.5, SOCKETIOXIDE));
        }
        let cheap = goal("processor time per delivery", cost(one), "us");
        report.goal(cheap.floor(cost(floor)).peer(cheapest).ratio_at_most(
            cost(one) / cheapest,
            1.0,
            "the best peer",
        ));
        let prompt = goal("p99", p99(one), "us");
        report.goal(prompt.floor(p99(floor)).peer(promptest).ratio_at_most(
            p99(one) / promptest,
            1.0,
            "the best peer",
        ));
    }
    if let [tokio, smol] = *ours {
        let ratio = speed(smol) / speed(tokio);
        report.goal(
            Goal::new(
                format!("smol beside tokio, {case}"),
                speed(smol),
                "deliveries/s",
            )
            .ratio_at_least(ratio, 0.85, "tokio"),
        );
    }
}
