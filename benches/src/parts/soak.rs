//! 50,000 WebSocket clients for ten minutes of events: no client is lost, and no memory grows.

use std::io;
use std::thread;
use std::time::Instant;

use benches::load::{Order, Outcome, Pace};
use midplane_testkit::process::descriptor_limit;

use super::websocket::{CONTENDERS, OURS};
use crate::children::{LoadGenerator, ServerProcess};
use crate::report::{Goal, Lines, Report, Scale};

const CLIENTS: usize = 50_000;

/// Descriptors that a process needs beside those of its clients.
const SPARE: usize = 500;

/// The milliseconds of events before each sample of the memory, the samples, and the events a second.
const TURN: u64 = 20_000;
const SAMPLES: usize = 30;
const RATE: u64 = 1;

/// The sample that growth is counted from: every client had a few events by then.
const SETTLED: usize = 3;

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let ours = CONTENDERS.iter().find(|server| server.name == OURS[0]);
    let ours = ours.ok_or_else(|| io::Error::other("there is no example server"))?;
    let each = descriptor_limit().saturating_sub(SPARE).clamp(1, CLIENTS);
    let mut servers: Vec<(ServerProcess, LoadGenerator)> = Vec::new();
    for first in (0..CLIENTS).step_by(each) {
        let clients = each.min(CLIENTS - first);
        report.progress(format!("one more server, with {clients} clients"));
        let server = ours.start(&[])?;
        let load = ours.load(&server, &server, clients)?;
        servers.push((server, load));
    }
    let mut picture = Lines::new(
        "Resident memory of the servers together",
        ("minutes", Scale::Linear),
        ("MiB", Scale::Linear),
    );
    let start = Instant::now();
    let mut resident = Vec::new();
    let mut slowest: f64 = 0.0;
    for sample in 0..SAMPLES {
        for outcome in turn(&mut servers)? {
            slowest = slowest.max(outcome.longest);
        }
        let bytes: io::Result<u64> = servers.iter().map(|(server, _)| server.resident()).sum();
        let mib = bytes? as f64 / f64::from(1 << 20);
        picture.point(OURS[0], start.elapsed().as_secs_f64() / 60.0, mib);
        resident.push(mib);
        report.progress(format!("sample {sample} of {SAMPLES}: {mib:.0} MiB"));
    }
    let (count, minutes) = (servers.len(), start.elapsed().as_secs() / 60);
    report.say(format!(
        "{CLIENTS} clients of {count} servers, as many as the limit of descriptors wants, each with an event \
         of 64 bytes {RATE} times a second, for {minutes} minutes. Every client got every event, once and in \
         order, and none was cut off; the slowest delivery took {:.0} ms.",
        slowest / 1e3
    ));
    report.picture("soak", &picture)?;
    let (first, last) = (resident[SETTLED], resident[SAMPLES - 1]);
    let figure = format!("resident memory after {minutes} minutes with {CLIENTS} clients");
    let goal = Goal::new(figure, last, "MiB");
    report.goal(goal.ratio_at_most(last / first, 1.02, "that after the first minute"));
    Ok(())
}

/// Events for all clients at the same time.
fn turn(servers: &mut [(ServerProcess, LoadGenerator)]) -> io::Result<Vec<Outcome>> {
    let order = Order {
        pace: Pace::Rate(RATE),
        bytes: 64,
        milliseconds: TURN,
    };
    thread::scope(|scope| {
        let turns: Vec<_> = servers
            .iter_mut()
            .map(|(_, load)| scope.spawn(move || load.run(order)))
            .collect();
        let panicked = |_| Err(io::Error::other("a turn panicked"));
        turns
            .into_iter()
            .map(|turn| turn.join().unwrap_or_else(panicked))
            .collect()
    })
}
