//! What is told of the contenders between two nodes, over whatever bus.

use std::io;

use crate::across::Contest;
use crate::report::{Goal, Lines, Report, Scale, short};

/// The contenders that goals name.
pub(super) const FLOOR: &str = "the raw protocol, pipelined";
pub(super) const DRIVER: &str = "the driver alone";
pub(super) const ORIGINALS: &str = "the originals' design";
pub(super) const OURS: &str = "midplane";

/// The sizes of payloads, in bytes.
const SIZES: [usize; 2] = [64, 1_024];

/// What the p50 of a single event may be to that of the driver.
const PROMPT: f64 = 1.3;

/// Runs the contests and writes them down. `batched` is what midplane is to reach of the floor at the smaller
/// size, where that is a goal.
pub(super) fn run(
    report: &mut Report,
    bus: &str,
    batched: Option<f64>,
    contest: impl Fn(usize) -> io::Result<Contest>,
) -> io::Result<()> {
    let mut speeds: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for size in SIZES {
        report.progress(format!("{size} bytes, as many as go"));
        let mut contest = contest(size)?;
        contest.race()?;
        report.progress(format!("{size} bytes, one by one"));
        contest.singles(&[FLOOR, DRIVER, ORIGINALS, OURS])?;
        tell(
            report,
            bus,
            size,
            batched.filter(|_| size == SIZES[0]),
            &contest,
        );
        for (at, name) in contest.names().into_iter().enumerate() {
            if speeds.len() == at {
                speeds.push((name.to_owned(), Vec::new()));
            }
            speeds[at].1.push((size as f64, contest.speed(name)));
        }
    }
    let title = format!("Events per second from one node to another over {bus}");
    report.picture(
        &bus.to_lowercase(),
        &Lines {
            title: &title,
            x: ("bytes of payload", Scale::Logarithmic),
            y: ("events per second", Scale::Logarithmic),
            lines: speeds,
        },
    )
}

fn tell(report: &mut Report, bus: &str, size: usize, batched: Option<f64>, contest: &Contest) {
    report.say(format!("### {size} bytes over {bus}"));
    let rows: Vec<Vec<String>> = contest
        .names()
        .into_iter()
        .map(|name| {
            let latency = contest.latency(name);
            let of =
                |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.0}"));
            vec![
                name.to_owned(),
                format!("{:.3}", contest.ratio(name, FLOOR)),
                short(contest.speed(name)),
                of(latency.map(|latency| latency.0)),
                of(latency.map(|latency| latency.1)),
            ]
        })
        .collect();
    report.table(
        &[
            "",
            "to the floor",
            "events/s",
            "p50 of one, us",
            "p99 of one, us",
        ],
        &rows,
    );
    let others = contest.names().into_iter();
    let others = others.filter(|name| ![FLOOR, OURS].contains(name));
    let peer = others.map(|name| contest.speed(name)).fold(0.0, f64::max);
    let speed = || {
        Goal::new(
            format!("events per second, {size} bytes"),
            contest.speed(OURS),
            "events/s",
        )
        .floor(contest.speed(FLOOR))
        .peer(peer)
    };
    if let Some(batched) = batched {
        report.goal(speed().ratio_at_least(contest.ratio(OURS, FLOOR), batched, "the floor"));
    }
    report.goal(speed().ratio_at_least(contest.speed(OURS) / peer, 1.0, "the best peer"));
    if let (Some(ours), Some(floor), Some(driver), Some(originals)) = (
        contest.latency(OURS),
        contest.latency(FLOOR),
        contest.latency(DRIVER),
        contest.latency(ORIGINALS),
    ) {
        let prompt = Goal::new(format!("p50 of single events, {size} bytes"), ours.0, "us");
        report.goal(prompt.floor(floor.0).peer(driver.0).ratio_at_most(
            contest.latency_ratio(OURS, DRIVER).0,
            PROMPT,
            "the driver alone",
        ));
        let late = Goal::new(format!("p99 of single events, {size} bytes"), ours.1, "us");
        report.goal(late.floor(floor.1).peer(originals.1).ratio_at_most(
            contest.latency_ratio(OURS, ORIGINALS).1,
            1.0,
            "the originals' design",
        ));
    }
}
