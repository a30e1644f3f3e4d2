//! What nodes say to each other when nobody publishes.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use midplane_testkit::process;

use super::field::{Field, Setting};
use super::{Cost, LANES, TARGETS};
use crate::report::{Goal, Report, short};

/// So far apart, on so many nodes, for so long.
const BEAT: Duration = Duration::from_millis(100);
const BEATING: [usize; 3] = [1, 16, 64];
const BEATS: Duration = Duration::from_secs(2);

/// What nodes hear that publish nothing, and how much longer a heartbeat is for each lane that was used.
pub(super) fn run(report: &mut Report) -> io::Result<()> {
    let quiet = |nodes| Setting {
        nodes,
        lanes: 1,
        targets: 0,
        interest: 0,
        members: 0,
    };
    let mut costs = Vec::new();
    for nodes in BEATING {
        report.progress(format!("heartbeats of {nodes} nodes"));
        costs.push((nodes, beats(quiet(nodes))?));
    }
    let one = beats(Setting {
        lanes: LANES,
        targets: TARGETS,
        interest: 1,
        members: 1,
        ..quiet(1)
    })?;
    let alone = costs.first().map_or(f64::NAN, |(_, cost)| cost.bytes);
    let lane = (one.bytes - alone) / TARGETS as f64;
    let seconds = BEATS.as_secs_f64();
    let rows: Vec<Vec<String>> = costs
        .iter()
        .map(|(nodes, cost)| {
            let expected = (nodes * nodes) as f64 * seconds / BEAT.as_secs_f64();
            vec![
                nodes.to_string(),
                short(cost.frames / seconds),
                format!("{:.2}", cost.frames / expected),
                format!("{:.0}", cost.bytes),
                format!("{:.2}", cost.microseconds),
                format!("{lane:.1}"),
            ]
        })
        .collect();
    report.say(format!(
        "### Heartbeats\n\nOf nodes that publish nothing, every {} ms: what all of them hear in a second, that to \
         the square of their number in each interval, and processor time and bytes for each. One that used {TARGETS} \
         lanes since its heartbeat before has some bytes more for each of these.",
        BEAT.as_millis()
    ));
    let header = [
        "nodes",
        "heard/s",
        "to the square",
        "bytes each",
        "us each",
        "bytes a lane",
    ];
    report.table(&header, &rows);
    if let Some((nodes, cost)) = costs.last() {
        let most = (nodes * nodes) as f64 * seconds / BEAT.as_secs_f64();
        let goal = Goal::new(
            format!("heartbeats heard, {nodes} nodes"),
            cost.frames / seconds,
            "frames/s",
        );
        report.goal(goal.floor(most / seconds).ratio_at_most(
            cost.frames / most,
            1.05,
            "the square of the nodes, each interval",
        ));
        for (figure, value, unit) in [
            ("processor time of a heartbeat", cost.microseconds, "us"),
            ("bytes of a heartbeat", cost.bytes, "bytes"),
        ] {
            report.goal(Goal::new(format!("{figure}, {nodes} nodes"), value, unit));
        }
        let figure = "bytes of a heartbeat for each used lane";
        report.goal(Goal::new(figure, lane, "bytes"));
    }
    Ok(())
}

/// What is heard on lane 0 while each lane is used more often than a heartbeat tells of it: how much, and what
/// each frame takes.
fn beats(setting: Setting) -> io::Result<Cost> {
    let field = Field::start(setting, BEAT)?;
    let heard = || {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        (
            of(&field.heard.control_frames),
            of(&field.heard.control_bytes),
        )
    };
    let busy = || process::processor_time(std::process::id());
    // The first ones answer those that have just come.
    field.rest(5 * BEAT);
    let (before, busy_before, start) = (heard(), busy()?, Instant::now());
    while start.elapsed() < BEATS {
        field.publish(setting.targets, 1)?;
        field.rest(BEAT / 5);
    }
    let (after, busy) = (heard(), busy()? - busy_before);
    let frames = after.0 - before.0;
    Ok(Cost {
        microseconds: busy.as_secs_f64() * 1e6 / frames,
        frames,
        bytes: (after.1 - before.1) / frames,
    })
}
