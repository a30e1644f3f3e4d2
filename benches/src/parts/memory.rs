//! The memory of idle connections: by the allocator in the registry, by the system in a server.

use std::io;
use std::process::Command;
use std::thread;
use std::time::Duration;

use benches::{Allocated, Floor, MeasuredPlane, Midplane};

use super::websocket::CONTENDERS;
use crate::children::programs;
use crate::race::{is_ours, race};
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
    let all: serde_json::Result<Vec<Allocated>> = text.lines().map(serde_json::from_str).collect();
    let (planes, others): (Vec<_>, Vec<_>) = all?.into_iter().partition(|one| one.count > 1);
    let mut picture = Lines::new(
        "Bytes per idle connection in five targets",
        ("connections", Scale::Logarithmic),
        ("bytes", Scale::Linear),
    );
    let mut header = vec![String::new()];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for Allocated { name, count, bytes } in &planes {
        picture.point(name, *count as f64, *bytes);
        let column = format!("of {count}");
        if header.last() != Some(&column) {
            header.push(column);
        }
        let bytes = format!("{bytes:.0}");
        match rows.iter_mut().find(|row| row[0] == *name) {
            Some(row) => row.push(bytes),
            None => rows.push(vec![name.clone(), bytes]),
        }
    }
    report.say(
        "Bytes asked of the allocator for each idle connection in five targets: its own, a user and a \
         session that nobody else is in, an org of 1,000 and a topic of 100.",
    );
    let header: Vec<&str> = header.iter().map(|text| &**text).collect();
    report.table(&header, &rows);
    report.picture("memory", &picture)?;
    let rows = others.iter();
    let rows = rows.map(|one| vec![one.name.clone(), format!("{:.0}", one.bytes)]);
    let rows: Vec<_> = rows.collect();
    report.table(&["beside that", "bytes"], &rows);
    let million = || planes.iter().filter(|one| one.count == REGISTERED);
    let of = |name: &str| {
        let found = million().find(|one| one.name == name);
        found.map_or(f64::NAN, |one| one.bytes)
    };
    let peers = million().filter(|one| ![Midplane::NAME, Floor::NAME].contains(&&*one.name));
    let figure = "per idle connection with five targets at one million";
    let goal = Goal::new(figure, of(Midplane::NAME), "bytes").floor(of(Floor::NAME));
    let goal = goal.peer(peers.map(|one| one.bytes).fold(f64::INFINITY, f64::min));
    report.goal(goal.at_most(520.0));
    Ok(())
}

fn servers(report: &mut Report) -> io::Result<()> {
    let mut contenders = Vec::new();
    for contender in CONTENDERS {
        if contender.is_there(report) {
            contenders.push((contender.name, contender));
        }
    }
    let race = race(&mut contenders, 1, |contender| {
        report.progress(format!("5,000 idle clients of {}", contender.name));
        let server = contender.start(&[])?;
        let before = server.resident()?;
        let load = contender.load(&server, &server, CONNECTED)?;
        // What tasks still do with the last handshakes.
        thread::sleep(Duration::from_secs(1));
        let bytes = (server.resident()? - before) as f64 / CONNECTED as f64;
        drop(load);
        Ok(bytes)
    })?;
    let bytes = race.least(|bytes| *bytes);
    report.say("Resident memory of a server with 5,000 idle clients, in bytes for each client:");
    report.columns(bytes.names(), &[("bytes", &bytes.fixed(0))]);
    for name in bytes.names().filter(|name| is_ours(name)) {
        let figure = format!("resident per idle client of {CONNECTED}, {name}");
        report.goal(bytes.goal(figure, name, "bytes").at_most(6.0 * 1_024.0));
    }
    Ok(())
}
