//! What idle connections keep: by the allocator in the registry, by the system in a server.

use std::io;
use std::process::Command;
use std::time::Duration;

use benches::memory::Found;
use benches::{Floor, Midplane, Plane};

use super::websocket::{CONTENDERS, OURS};
use crate::children::programs;
use crate::report::{Goal, Lines, Report, Scale};

/// The connections that the goals are about.
const REGISTERED: usize = 1_000_000;
const CONNECTED: usize = 5_000;

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    registry(report)?;
    servers(report)
}

fn registry(report: &mut Report) -> io::Result<()> {
    report.progress("bytes asked of the allocator, up to a million connections");
    let output = Command::new(programs()?.join("memory")).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Vec<Found> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let (planes, others): (Vec<Found>, Vec<Found>) =
        found.into_iter().partition(|found| found.count > 1);
    let mut counts: Vec<usize> = planes.iter().map(|found| found.count).collect();
    counts.dedup();
    let of = |name: &str, count: usize| {
        let found = planes
            .iter()
            .find(|found| found.name == name && found.count == count);
        found.map_or(f64::NAN, |found| found.bytes)
    };
    let mut names: Vec<&str> = planes.iter().map(|found| &*found.name).collect();
    names.truncate(planes.len() / counts.len().max(1));
    let mut header = vec![String::new()];
    header.extend(counts.iter().map(|count| format!("of {count}")));
    let header: Vec<&str> = header.iter().map(|text| &**text).collect();
    let rows: Vec<Vec<String>> = names
        .iter()
        .map(|name| {
            let bytes = counts
                .iter()
                .map(|count| format!("{:.0}", of(name, *count)));
            std::iter::once((*name).to_owned()).chain(bytes).collect()
        })
        .collect();
    report.say(
        "Bytes asked of the allocator for each idle connection in five targets: its own, a user and a \
         session nobody else is in, an org of 1,000 and a topic of 100.",
    );
    report.table(&header, &rows);
    report.picture(
        "memory",
        &Lines {
            title: "Bytes per idle connection in five targets",
            x: ("connections", Scale::Logarithmic),
            y: ("bytes", Scale::Linear),
            lines: names
                .iter()
                .map(|name| {
                    let points = counts.iter().map(|count| (*count as f64, of(name, *count)));
                    ((*name).to_owned(), points.collect())
                })
                .collect(),
        },
    )?;
    let rows: Vec<Vec<String>> = others
        .iter()
        .map(|found| vec![found.name.clone(), format!("{:.0}", found.bytes)])
        .collect();
    report.table(&["beside that", "bytes"], &rows);
    let peers = names
        .iter()
        .filter(|name| **name != Midplane::NAME && **name != Floor::NAME);
    let peer = peers
        .map(|name| of(name, REGISTERED))
        .fold(f64::INFINITY, f64::min);
    report.goal(
        Goal::new(
            "per idle connection with five targets at one million",
            of(Midplane::NAME, REGISTERED),
            "bytes",
        )
        .floor(of(Floor::NAME, REGISTERED))
        .peer(peer)
        .at_most(520.0),
    );
    Ok(())
}

fn servers(report: &mut Report) -> io::Result<()> {
    let mut rows = Vec::new();
    let mut found = Vec::new();
    for contender in CONTENDERS {
        report.progress(format!("5,000 idle clients of {}", contender.name));
        let server = match contender.start(&[])? {
            Ok(server) => server,
            Err(why) => {
                rows.push(vec![contender.name.into(), why]);
                continue;
            }
        };
        let before = server.resident()?;
        let load = contender.load(&server, &server, CONNECTED)?;
        // What tasks still do with the last handshakes.
        std::thread::sleep(Duration::from_secs(1));
        let bytes = (server.resident()? - before) as f64 / CONNECTED as f64;
        drop(load);
        rows.push(vec![contender.name.into(), format!("{bytes:.0}")]);
        found.push((contender.name, bytes));
    }
    report.say("Resident memory of a server with 5,000 idle clients, in bytes for each client:");
    report.table(&["", "bytes"], &rows);
    let floor = found.first().map_or(f64::NAN, |(_, bytes)| *bytes);
    let peers = found[1..]
        .iter()
        .filter(|(name, _)| !OURS.contains(name))
        .map(|(_, bytes)| *bytes);
    let peer = peers.fold(f64::INFINITY, f64::min);
    for (name, bytes) in found.iter().filter(|(name, _)| OURS.contains(name)) {
        report.goal(
            Goal::new(
                format!("resident per idle client of {CONNECTED}, {name}"),
                *bytes,
                "bytes",
            )
            .floor(floor)
            .peer(peer)
            .at_most(6.0 * 1_024.0),
        );
    }
    Ok(())
}
