//! The growth of the cost of a publish with the number of nodes.

mod grid;
mod heartbeats;

use std::io;
use std::iter;
use std::time::{Duration, Instant};

use benches::Quantiles;

use crate::report::{Goal, Lines, Report, Scale};
use grid::{Grid, SIZE, Setting};

/// The numbers of nodes.
const NODES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// The lanes where a node receives those alone that it has members on.
const LANES: u32 = 1_024;

/// The nodes that a target has a member on.
const INTEREST: usize = 2;

/// Targets that are published to in turn.
const TARGETS: usize = 64;

/// Publishes of one measurement, one after the other, and measurements.
const PUBLISHES: usize = 500;
const ROUNDS: usize = 5;

/// Heartbeats are rare, so that the counted frames are publishes; a node takes a part of this interval to go live.
const HEARTBEAT: Duration = Duration::from_secs(8);

/// The frames that all nodes received, the bytes, and the time, of a publish or a heartbeat.
struct Cost {
    microseconds: f64,
    frames: f64,
    bytes: f64,
}

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    report.say(format!(
        "Nodes of one process over the memory bus, all on one thread, so that the time of a publish is the time of \
         all nodes together: from `publish` until the last sink was called, of {SIZE} bytes, one after the other \
         ({PUBLISHES}, the median of {ROUNDS} times). A frame counts where it is received, at its sender too. \
         Broadcast is one lane; with {LANES} lanes, a node receives those of the targets it has members of."
    ));
    by_nodes(report)?;
    heartbeats::run(report)
}

/// Broadcast beside lanes, over the number of nodes.
fn by_nodes(report: &mut Report) -> io::Result<()> {
    let nodes_axis = ("nodes", Scale::Linear);
    let y = ("frames of all nodes", Scale::Linear);
    let mut frames = Lines::new("Frames received per publish", nodes_axis, y);
    let y = ("microseconds", Scale::Linear);
    let mut times = Lines::new("Time of all nodes per publish", nodes_axis, y);
    let mut rows = Vec::new();
    let mut last = Vec::new();
    for nodes in NODES {
        report.progress(format!("{nodes} nodes"));
        last.clear();
        let mut row = vec![nodes.to_string()];
        for (name, lanes, interest) in [
            ("broadcast", 1, INTEREST),
            ("lanes, on 2 nodes", LANES, INTEREST),
            ("lanes, on half of the nodes", LANES, nodes / 2),
        ] {
            let cost = cost(Setting {
                nodes,
                lanes,
                targets: TARGETS,
                interest: interest.clamp(1, nodes),
            })?;
            frames.point(name, nodes as f64, cost.frames);
            times.point(name, nodes as f64, cost.microseconds);
            let each = |of: f64| of / nodes as f64;
            row.push(format!("{:.1}", cost.frames));
            row.push(format!("{:.1}", cost.microseconds));
            row.push(format!("{:.2}", each(cost.frames)));
            row.push(format!("{:.0}", each(cost.bytes)));
            row.push(format!("{:.2}", each(cost.microseconds)));
            last.push(cost);
        }
        rows.push(row);
    }
    report.say(
        "### Nodes\n\nFor each publish: frames and microseconds of all nodes, then frames, bytes and microseconds of \
         each node.",
    );
    let columns = ["frames", "us", "frames each", "bytes each", "us each"];
    let ways = ["broadcast", "lanes, 2", "lanes, half"].into_iter();
    let header = ways.flat_map(|way| columns.map(|column| format!("{way}: {column}")));
    let header: Vec<String> = iter::once(String::from("nodes")).chain(header).collect();
    let header: Vec<&str> = header.iter().map(|text| &**text).collect();
    report.table(&header, &rows);

    let most = NODES[NODES.len() - 1] as f64;
    let (broadcast, lanes) = (&last[0], &last[1]);
    let figure = "frames received per publish, broadcast, 64 nodes";
    let goal = Goal::new(figure, broadcast.frames, "frames").floor(most);
    let ratio = broadcast.frames / most;
    report.goal(goal.ratio_at_most(ratio, 1.05, "the number of nodes"));
    let figure = "frames received per publish, lanes, 64 nodes, on 2";
    let goal = Goal::new(figure, lanes.frames, "frames").floor(INTEREST as f64);
    let goal = goal.peer(broadcast.frames);
    let ratio = lanes.frames / INTEREST as f64;
    // Two of 64 targets may share a lane of 1,024.
    report.goal(goal.ratio_at_most(ratio, 1.5, "the nodes with a member"));
    for (what, value, unit) in [
        ("processor time", broadcast.microseconds / most, "us"),
        ("bytes", broadcast.bytes / most, "bytes"),
    ] {
        let figure = format!("{what} of a received frame, 64 nodes");
        report.goal(Goal::new(figure, value, unit));
    }
    report.picture("growth-frames", &frames)?;
    report.picture("growth-time", &times)
}

/// The cost of a publish.
fn cost(setting: Setting) -> io::Result<Cost> {
    let grid = Grid::start(setting, HEARTBEAT)?;
    let deliveries = setting.interest as u64;
    grid.publish(PUBLISHES / 5, deliveries)?;
    let (frames, bytes) = (grid.all.frames(), grid.all.bytes());
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        grid.publish(PUBLISHES, deliveries)?;
        times.push(start.elapsed().as_secs_f64() * 1e6 / PUBLISHES as f64);
    }
    // Frames that no sink waits for are received once every task has run.
    grid.settle();
    let all = (ROUNDS * PUBLISHES) as f64;
    Ok(Cost {
        microseconds: Quantiles::new(times).at(0.5),
        frames: (grid.all.frames() - frames) / all,
        bytes: (grid.all.bytes() - bytes) / all,
    })
}
