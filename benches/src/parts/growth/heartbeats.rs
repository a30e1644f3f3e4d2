//! The heartbeats of nodes that publish nothing.

use std::io;
use std::time::{Duration, Instant};

use midplane_testkit::process;

use super::grid::{Grid, Setting};
use super::{Cost, LANES, TARGETS};
use crate::report::{Goal, Report, short};

/// The heartbeat interval, the numbers of nodes, and how long they are observed.
const INTERVAL: Duration = Duration::from_millis(100);
const NODES: [usize; 3] = [1, 16, 64];
const TIME: Duration = Duration::from_secs(2);

/// Received heartbeats, and how much longer a heartbeat is for each lane that was used.
pub(super) fn run(report: &mut Report) -> io::Result<()> {
    let quiet = |nodes| Setting {
        nodes,
        lanes: 1,
        targets: 0,
        interest: 0,
    };
    let mut costs = Vec::new();
    for nodes in NODES {
        report.progress(format!("heartbeats of {nodes} nodes"));
        costs.push((nodes, heartbeats(quiet(nodes))?));
    }
    let busy = heartbeats(Setting {
        lanes: LANES,
        targets: TARGETS,
        interest: 1,
        ..quiet(1)
    })?;
    let lane = (busy.bytes - costs[0].1.bytes) / TARGETS as f64;
    report.say(format!(
        "### Heartbeats\n\nOf nodes that publish nothing, every {} ms: heartbeats that all of them receive in a second, \
         that to the square of their number in each interval, and bytes and processor time of each. The heartbeat of a \
         node that used {TARGETS} lanes since the heartbeat before has some bytes more for each of these.",
        INTERVAL.as_millis()
    ));
    let seconds = TIME.as_secs_f64();
    let square = |nodes: usize| (nodes * nodes) as f64 / INTERVAL.as_secs_f64();
    let rows: Vec<Vec<String>> = costs
        .iter()
        .map(|(nodes, cost)| {
            vec![
                nodes.to_string(),
                short(cost.frames / seconds),
                format!("{:.2}", cost.frames / seconds / square(*nodes)),
                format!("{:.0}", cost.bytes),
                format!("{:.2}", cost.microseconds),
                format!("{lane:.1}"),
            ]
        })
        .collect();
    let header = [
        "nodes",
        "heard/s",
        "to the square",
        "bytes each",
        "us each",
        "bytes a lane",
    ];
    report.table(&header, &rows);
    let (nodes, cost) = &costs[NODES.len() - 1];
    let (speed, square) = (cost.frames / seconds, square(*nodes));
    let goal = Goal::new(
        format!("heartbeats heard, {nodes} nodes"),
        speed,
        "frames/s",
    );
    let of = "the square of the nodes, each interval";
    report.goal(goal.floor(square).ratio_at_most(speed / square, 1.05, of));
    for (figure, value, unit) in [
        ("processor time of a heartbeat", cost.microseconds, "us"),
        ("bytes of a heartbeat", cost.bytes, "bytes"),
    ] {
        report.goal(Goal::new(format!("{figure}, {nodes} nodes"), value, unit));
    }
    let figure = "bytes of a heartbeat for each used lane";
    report.goal(Goal::new(figure, lane, "bytes"));
    Ok(())
}

/// The frames on lane 0 while every lane is used in each interval: how many, and bytes and processor time of each.
fn heartbeats(setting: Setting) -> io::Result<Cost> {
    let grid = Grid::start(setting, INTERVAL)?;
    let now = || (grid.control.frames(), grid.control.bytes());
    let busy = || process::processor_time(std::process::id());
    // The first heartbeats answer the nodes that have just come.
    grid.rest(5 * INTERVAL);
    let (before, busy_before, start) = (now(), busy()?, Instant::now());
    while start.elapsed() < TIME {
        grid.publish(setting.targets, 1)?;
        grid.rest(INTERVAL / 5);
    }
    let (after, busy) = (now(), busy()? - busy_before);
    let frames = after.0 - before.0;
    Ok(Cost {
        microseconds: busy.as_secs_f64() * 1e6 / frames,
        frames,
        bytes: (after.1 - before.1) / frames,
    })
}
