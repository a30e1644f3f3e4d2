//! How the cost of a publish grows: nodes of one process over the memory bus, all on one thread.

mod field;
mod heartbeats;

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::report::{Goal, Lines, Report, Scale, short};
use field::{Field, SIZE, Setting};

/// How many nodes there are, in turn.
const NODES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// The lanes where nodes hear what they care for alone.
const LANES: u32 = 1_024;

/// On how many nodes a target has a member, unless that is what grows.
const INTEREST: usize = 2;

/// Targets that are published to in turn, unless they grow.
const TARGETS: usize = 64;

/// Publishes of one measurement, one after the other, and measurements.
const PUBLISHES: usize = 500;
const ROUNDS: usize = 5;

/// Heartbeats are rare, so that what is counted is what is published; a node takes a part of this to go live.
const HEARTBEAT: Duration = Duration::from_secs(8);

/// What one publish costs.
struct Cost {
    microseconds: f64,
    /// What all nodes received for it.
    frames: f64,
    bytes: f64,
}

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    report.say(format!(
        "Nodes of one process over the memory bus, all on one thread, so that the time of a publish is the time of \
         all nodes together: from `publish` until the last sink was called, of {SIZE} bytes, one after the other \
         ({PUBLISHES}, the median of {ROUNDS} times). A frame counts where it is received, the sender's own too. \
         Broadcast is one lane; with lanes, {LANES}, a node hears those of the targets it has members of."
    ));
    by_nodes(report)?;
    few(report)?;
    heartbeats::run(report)?;
    let start = Setting {
        nodes: 16,
        lanes: LANES,
        targets: TARGETS,
        interest: INTEREST,
        members: 1,
    };
    along(
        report,
        "members of a target on each of two nodes, of 16",
        [1, 10, 100, 1_000, 10_000],
        |members| Setting {
            members,
            targets: 1,
            ..start
        },
    )?;
    along(
        report,
        "targets, each on two nodes of 16",
        [1, 16, 256, 4_096, 16_384],
        |targets| Setting { targets, ..start },
    )?;
    along(
        report,
        "lanes, 64 targets, each on two nodes of 16",
        [1, 4, 16, 256, 4_096],
        |lanes| Setting {
            lanes: lanes as u32,
            ..start
        },
    )
}

/// Broadcast beside lanes, over the number of nodes.
fn by_nodes(report: &mut Report) -> io::Result<()> {
    let mut rows = Vec::new();
    let names = [
        "broadcast",
        "lanes, on 2 nodes",
        "lanes, on half of the nodes",
    ];
    let mut frames: Vec<_> = names.map(|name| (name.to_owned(), Vec::new())).into();
    let mut times = frames.clone();
    let mut each_of_most = Vec::new();
    for nodes in NODES {
        report.progress(format!("{nodes} nodes"));
        let setting = |lanes, interest: usize| Setting {
            nodes,
            lanes,
            targets: TARGETS,
            interest: interest.clamp(1, nodes),
            members: 1,
        };
        let costs = [
            cost(setting(1, INTEREST))?,
            cost(setting(LANES, INTEREST))?,
            cost(setting(LANES, nodes / 2))?,
        ];
        for ((cost, frames), times) in costs.iter().zip(&mut frames).zip(&mut times) {
            frames.1.push((nodes as f64, cost.frames));
            times.1.push((nodes as f64, cost.microseconds));
        }
        each_of_most = vec![
            ("processor time", costs[0].microseconds / nodes as f64, "us"),
            ("bytes", costs[0].bytes / nodes as f64, "bytes"),
        ];
        let mut row = vec![nodes.to_string()];
        for cost in &costs {
            row.push(format!("{:.1}", cost.frames));
            row.push(format!("{:.1}", cost.microseconds));
            row.push(format!("{:.2}", cost.frames / nodes as f64));
            row.push(format!("{:.0}", cost.bytes / nodes as f64));
            row.push(format!("{:.2}", cost.microseconds / nodes as f64));
        }
        rows.push(row);
    }
    report.say("### Nodes\n\nFor each publish: frames and microseconds of all nodes, then frames, bytes and microseconds of each.");
    let each = ["frames", "us", "frames each", "bytes each", "us each"];
    let header: Vec<String> = std::iter::once(String::from("nodes"))
        .chain(
            ["broadcast", "lanes, 2", "lanes, half"]
                .iter()
                .flat_map(|name| each.iter().map(move |what| format!("{name}: {what}"))),
        )
        .collect();
    let header: Vec<&str> = header.iter().map(|text| &**text).collect();
    report.table(&header, &rows);
    let last = |lines: &[(String, Vec<(f64, f64)>)], line: usize| {
        lines[line].1.last().map_or(f64::NAN, |point| point.1)
    };
    let most = NODES[NODES.len() - 1] as f64;
    let broadcast = last(&frames, 0);
    report.goal(
        Goal::new(
            "frames received per publish, broadcast, 64 nodes",
            broadcast,
            "frames",
        )
        .floor(most)
        .ratio_at_most(broadcast / most, 1.05, "the number of nodes"),
    );
    let lanes = last(&frames, 1);
    report.goal(
        Goal::new(
            "frames received per publish, lanes, 64 nodes, on 2",
            lanes,
            "frames",
        )
        .floor(INTEREST as f64)
        .peer(broadcast)
        // Two of 64 targets may share a lane of 1,024.
        .ratio_at_most(lanes / INTEREST as f64, 1.5, "the nodes with a member"),
    );
    for (what, value, unit) in each_of_most {
        let figure = format!("{what} of a received frame, 64 nodes");
        report.goal(Goal::new(figure, value, unit));
    }
    report.picture(
        "growth-frames",
        &Lines {
            title: "Frames received per publish",
            x: ("nodes", Scale::Linear),
            y: ("frames of all nodes", Scale::Linear),
            lines: frames,
        },
    )?;
    report.picture(
        "growth-time",
        &Lines {
            title: "Time of all nodes per publish",
            x: ("nodes", Scale::Linear),
            y: ("microseconds", Scale::Linear),
            lines: times,
        },
    )
}

/// The small table: what lanes spare.
fn few(report: &mut Report) -> io::Result<()> {
    let mut rows = Vec::new();
    for nodes in [3, 10, 30] {
        let of = |lanes| {
            cost(Setting {
                nodes,
                lanes,
                targets: TARGETS,
                interest: INTEREST,
                members: 1,
            })
        };
        rows.push(vec![
            nodes.to_string(),
            format!("{:.1}", of(1)?.frames),
            format!("{:.1}", of(LANES)?.frames),
        ]);
    }
    report.say("Frames received per publish to a target that has members on two nodes:");
    report.table(&["nodes", "broadcast", "lanes"], &rows);
    Ok(())
}

/// One thing grows.
fn along(
    report: &mut Report,
    what: &str,
    values: [usize; 5],
    setting: impl Fn(usize) -> Setting,
) -> io::Result<()> {
    let mut rows = Vec::new();
    for value in values {
        report.progress(format!("{value} {what}"));
        let setting = setting(value);
        let cost = cost(setting)?;
        let deliveries = (setting.interest * setting.members) as f64;
        rows.push(vec![
            value.to_string(),
            format!("{:.1}", cost.microseconds),
            short(cost.microseconds * 1e3 / deliveries),
            format!("{:.1}", cost.frames),
        ]);
    }
    report.say(format!("### More {what}"));
    report.table(
        &["", "us per publish", "ns per delivery", "frames received"],
        &rows,
    );
    Ok(())
}

fn cost(setting: Setting) -> io::Result<Cost> {
    let field = Field::start(setting, HEARTBEAT)?;
    let deliveries = (setting.interest * setting.members) as u64;
    field.publish(PUBLISHES / 5, deliveries)?;
    let frames = || field.heard.frames.load(Ordering::Relaxed) as f64;
    let bytes = || field.heard.bytes.load(Ordering::Relaxed) as f64;
    let (frames_before, bytes_before) = (frames(), bytes());
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        field.publish(PUBLISHES, deliveries)?;
        times.push(start.elapsed().as_secs_f64() * 1e6 / PUBLISHES as f64);
    }
    // What no sink waits for has been heard, too, once everyone had a turn.
    field.runtime.block_on(async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    });
    let all = (ROUNDS * PUBLISHES) as f64;
    Ok(Cost {
        microseconds: benches::Quantiles::new(times).at(0.5),
        frames: (frames() - frames_before) / all,
        bytes: (bytes() - bytes_before) / all,
    })
}
