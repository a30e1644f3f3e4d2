//! The race from one node to another, over any bus.

use std::io;
use std::sync::Arc;

use midplane::bus::Bus;
use midplane_testkit::server::Server;

use crate::across::{Driver, DriverClient, Manner, Raw, RawSockets, Streams, midplane};
use crate::race::{Figures, race};
use crate::report::{Goal, Lines, Report, Scale};

/// The contenders that goals name.
const FLOOR: &str = "the raw protocol, pipelined";
pub(super) const DRIVER: &str = "the driver alone";
pub(super) const ORIGINALS: &str = "the originals' design";
const OURS: &str = "midplane";

/// The turns of each contender, after some that find out how many events a turn takes.
const ROUNDS: usize = 7;
const CALIBRATION: usize = 3;

/// The sizes of payloads, in bytes.
const SIZES: [usize; 2] = [64, 1_024];

/// The goal for the p50 of a single event, as a ratio to the driver's.
const PROMPT: f64 = 1.3;

/// Runs the races for events of each size: the raw protocol, the server's driver on the channels and in the manners of
/// `drivers`, and midplane on the buses that `open` makes of the server's URL. `batched` is the goal for the ratio to
/// the floor at the smaller size, if there is one.
pub(super) fn run<D: Driver>(
    report: &mut Report,
    bus: &str,
    batched: Option<f64>,
    server: &Server,
    raw: fn(usize) -> Raw,
    drivers: &[(&'static str, &'static str, Manner)],
    open: fn(&str) -> io::Result<Arc<dyn Bus>>,
) -> io::Result<()> {
    let url = server.url();
    let mut picture = Lines::new(
        format!("Events per second from one node to another over {bus}"),
        ("bytes of payload", Scale::Logarithmic),
        ("events per second", Scale::Logarithmic),
    );
    for size in SIZES {
        report.progress(format!("{size} bytes, as many events as go"));
        let raw = RawSockets::open(server.address(), raw(size))?;
        let mut contenders = vec![(FLOOR, Streams::new(size, raw))];
        for (name, channel, manner) in drivers {
            let client = DriverClient::<D>::open(&url, channel, size, *manner)?;
            contenders.push((*name, Streams::new(size, client)));
        }
        contenders.push((OURS, Streams::new(size, midplane(size, || open(&url))?)));
        race(&mut contenders, CALIBRATION, Streams::calibrate)?;
        let speed = race(&mut contenders, ROUNDS, Streams::speed)?;
        let speed = speed.most(|speed| *speed);
        picture.points(size as f64, speed.medians());

        report.progress(format!("{size} bytes, one by one"));
        contenders.retain(|(name, _)| [FLOOR, DRIVER, ORIGINALS, OURS].contains(name));
        // The first round warms up.
        race(&mut contenders, 1, Streams::singles)?;
        let singles = race(&mut contenders, ROUNDS, Streams::singles)?;
        let (p50, p99) = (
            singles.least(|us| us.at(0.5)),
            singles.least(|us| us.at(0.99)),
        );

        let single: Vec<&str> = p50.names().collect();
        let latency = |figures: &Figures, name: &str| match single.contains(&name) {
            true => format!("{:.0}", figures.of(name)),
            false => String::new(),
        };
        report.say(format!("### {size} bytes over {bus}"));
        report.columns(
            speed.names(),
            &[
                ("to the floor", &speed.to_floor_fixed(3)),
                ("events/s", &speed.short()),
                ("p50 of one, us", &|name| latency(&p50, name)),
                ("p99 of one, us", &|name| latency(&p99, name)),
            ],
        );
        let figure = format!("events per second, {size} bytes");
        if let Some(batched) = batched.filter(|_| size == SIZES[0]) {
            let goal = speed.goal(&*figure, OURS, "events/s");
            report.goal(goal.ratio_at_least(speed.to_floor(OURS), batched, "the floor"));
        }
        report.goal(speed.goal_to_peer(figure, OURS, "events/s", 1.0));
        for (what, figures, peer, bound) in
            [("p50", &p50, DRIVER, PROMPT), ("p99", &p99, ORIGINALS, 1.0)]
        {
            let figure = format!("{what} of single events, {size} bytes");
            let goal = Goal::new(figure, figures.of(OURS), "us").floor(figures.floor());
            let goal = goal.peer(figures.of(peer));
            report.goal(goal.ratio_at_most(figures.ratio(OURS, peer), bound, peer));
        }
    }
    report.picture(&bus.to_lowercase(), &picture)
}
