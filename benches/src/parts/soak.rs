//! 50,000 WebSocket clients for ten minutes of events: everyone stays, and nothing grows.

use std::io;
use std::thread;
use std::time::Instant;

use benches::load::Outcome;
use midplane_testkit::process::descriptor_limit;

use super::websocket::{CONTENDERS, OURS};
use crate::children::{Load, Server};
use crate::report::{Goal, Lines, Report, Scale};

const CLIENTS: usize = 50_000;

/// Descriptors that a process needs beside those of its clients.
const SPARE: usize = 500;

/// One look at the memory after so many milliseconds of events, so many looks, and events a second.
const LOOK: u64 = 20_000;
const LOOKS: usize = 30;
const RATE: u64 = 1;

/// The looks after which everyone had a few events, and growth counts.
const SETTLED: usize = 3;

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let ours = CONTENDERS
        .iter()
        .find(|contender| contender.name == OURS[0])
        .ok_or_else(|| io::Error::other("there is no server of ours"))?;
    let each = descriptor_limit().saturating_sub(SPARE).clamp(1, CLIENTS);
    let mut servers: Vec<(Server, Load)> = Vec::new();
    let mut left = CLIENTS;
    while left > 0 {
        let clients = left.min(each);
        report.progress(format!("{clients} clients of a server more"));
        let server = ours.start(&[])?.map_err(io::Error::other)?;
        let load = ours.load(&server, &server, clients)?;
        servers.push((server, load));
        left -= clients;
    }
    let start = Instant::now();
    let mut resident = Vec::new();
    let mut slowest: f64 = 0.0;
    for look in 0..LOOKS {
        let outcomes: Vec<io::Result<Outcome>> = thread::scope(|scope| {
            let turns: Vec<_> = servers
                .iter_mut()
                .map(|(_, load)| scope.spawn(|| load.rate(64, RATE, LOOK)))
                .collect();
            let joined = turns.into_iter().map(|turn| turn.join());
            joined
                .map(|turn| turn.unwrap_or_else(|_| Err(io::Error::other("a turn panicked"))))
                .collect()
        });
        for outcome in outcomes {
            slowest = slowest.max(outcome?.longest);
        }
        let mut bytes = 0;
        for (server, _) in &servers {
            bytes += server.resident()?;
        }
        let minutes = start.elapsed().as_secs_f64() / 60.0;
        resident.push((minutes, bytes as f64 / f64::from(1 << 20)));
        report.progress(format!("look {look} of {LOOKS}: {} MiB", bytes >> 20));
    }
    let (count, minutes) = (servers.len(), start.elapsed().as_secs() / 60);
    let (first, last) = (resident[SETTLED].1, resident[LOOKS - 1].1);
    report.say(format!(
        "{CLIENTS} clients of {count} servers, as many as the limit of descriptors wants, each with an event \
         of 64 bytes {RATE} times a second, for {minutes} minutes. Everyone got every event, once and in \
         order, and nobody was cut off; the slowest delivery took {:.0} ms.",
        slowest / 1e3
    ));
    report.picture(
        "soak",
        &Lines {
            title: "Resident memory of the servers together",
            x: ("minutes", Scale::Linear),
            y: ("MiB", Scale::Linear),
            lines: vec![(OURS[0].to_owned(), resident)],
        },
    )?;
    report.goal(
        Goal::new(
            format!("resident memory after {minutes} minutes with {CLIENTS} clients"),
            last,
            "MiB",
        )
        .ratio_at_most(last / first, 1.02, "that after the first minute"),
    );
    Ok(())
}
