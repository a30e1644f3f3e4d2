//! What an outage costs: the time until every node has everything, what is lost, and what the window takes.

mod by_hand;
mod journal;
mod outage;
mod outcome;
mod receiving;

use std::io;
use std::process::Command;

use benches::{Allocated, Quantiles};
use midplane::node::Config;

use crate::children::own_programs;
use crate::race::race;
use crate::report::{Goal, Lines, Report, Scale, short};
use journal::SIZE;
use outage::{Away, Contender, NODES, OUTAGE, PUBLISHERS, PUBLISHING, RATE};
use outcome::Outcome;

/// The runs of each contender.
const ROUNDS: usize = 3;

/// What the outage fits in: a node publishes 12 MiB of its queue in 5 s.
const ROOM: usize = 32 << 20;

const FLOOR: &str = "floor: written by hand";
const SIZED: &str = "midplane, 32 MiB";
const DEFAULTS: &str = "midplane, the defaults";

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    report.say(format!(
        "{NODES} nodes over one Redis, {PUBLISHERS} publishers on {PUBLISHING} of them, {} events of {SIZE} bytes a second \
         together, going on through an outage of {} s and after it. Every node subscribes to all. The floor is fifty lines \
         by hand: a client that publishes in pipelines, another that is subscribed, and a loop around each that connects \
         again after 100 ms; it keeps without bound what it could not send, and sends again what was not confirmed. \
         midplane has a `queue`, `keep` and `hold` of {} MiB each, which the outage fits in, and then the defaults, 8 MiB, \
         which it does not. An event is lost where it was accepted (the receipt said queued) and did not arrive, counted \
         at each node. Whole is from the moment that all is reachable again until every node has everything that was \
         accepted before. The figures are medians of {ROUNDS} runs, the losses those of all runs together.",
        short(RATE as f64),
        OUTAGE.as_secs(),
        ROOM >> 20,
    ));
    broker(report)?;
    one_node(report)?;
    window(report)?;
    receiving::run(report)
}

/// The outage of the broker.
fn broker(report: &mut Report) -> io::Result<()> {
    report.say("### The broker is killed, and started again");
    let rows = outages(report, Away::Broker)?;
    goals(report, "broker away", &rows);
    draw(
        report,
        "recovery",
        "The broker is away from 2 s to 7 s",
        &rows,
    )
}

/// The outage of one node alone: all that it missed comes by repair.
fn one_node(report: &mut Report) -> io::Result<()> {
    report.say("### One node is cut off: all that it missed comes by repair");
    let rows = outages(report, Away::LastNode)?;
    let columns = rows.iter().map(|(name, runs)| {
        let at = |of: fn(&Outcome) -> f64| format!("{:.1}", median(runs, of));
        vec![
            (*name).to_owned(),
            at(|run| run.before[0]),
            at(|run| run.before[1]),
            at(|run| run.during[0]),
            at(|run| run.during[1]),
        ]
    });
    let columns: Vec<_> = columns.collect();
    report.say(
        "From publish to arrival at the two other nodes, in milliseconds, before the outage and while the third catches up:",
    );
    report.table(
        &["", "p50 before", "p99 before", "p50 during", "p99 during"],
        &columns,
    );
    goals(report, "one node away", &rows);
    draw(
        report,
        "recovery-one-node",
        "Node 3 is cut off from 2 s to 7 s",
        &rows,
    )
}

type Rows = Vec<(&'static str, Vec<Outcome>)>;

/// The table of an outage.
fn outages(report: &mut Report, away: Away) -> io::Result<Rows> {
    let sized = Config {
        queue: ROOM,
        keep: ROOM,
        hold: ROOM,
        ..Config::default()
    };
    let mut contenders = [
        (FLOOR, Contender::ByHand),
        (SIZED, Contender::Midplane(sized)),
        (DEFAULTS, Contender::Midplane(Config::default())),
    ];
    let what = match away {
        Away::Broker => "the broker",
        Away::LastNode => "one node",
    };
    let mut run = 0;
    let race = race(&mut contenders, ROUNDS, |contender| {
        run += 1;
        report.progress(format!("{what} away, run {run} of {}", 3 * ROUNDS));
        contender.run(away)
    })?;
    let rows: Rows = race.into_turns().collect();
    let table = rows.iter().map(|(name, runs)| {
        let sum = |of: fn(&Outcome) -> usize| runs.iter().map(of).sum::<usize>().to_string();
        let middle = |of: fn(&Outcome) -> f64| short(median(runs, of));
        let whole = median(runs, |run| run.whole);
        vec![
            (*name).to_owned(),
            if whole.is_nan() {
                "never".into()
            } else {
                format!("{whole:.2}")
            },
            middle(|run| run.published as f64),
            middle(|run| run.refused as f64),
            sum(|run| run.lost),
            sum(|run| run.twice),
            sum(|run| run.disordered),
            middle(|run| run.repaired as f64),
            middle(|run| run.repairs as f64),
            middle(|run| run.asks as f64),
        ]
    });
    let table: Vec<_> = table.collect();
    report.table(
        &[
            "",
            "whole, s",
            "published",
            "refused",
            "lost",
            "twice",
            "out of order",
            "by repair",
            "frames",
            "asks",
        ],
        &table,
    );
    Ok(rows)
}

fn median(runs: &[Outcome], of: impl Fn(&Outcome) -> f64) -> f64 {
    Quantiles::new(runs.iter().map(of)).at(0.5)
}

fn goals(report: &mut Report, what: &str, rows: &Rows) {
    let lost = |name: &str| {
        let runs = rows.iter().filter(|row| row.0 == name);
        let lost = runs.flat_map(|(_, runs)| runs).map(|run| run.lost);
        lost.sum::<usize>() as f64
    };
    let goal = Goal::new(format!("lost, {what}"), lost(SIZED), "events");
    report.goal(goal.floor(lost(FLOOR)).at_most(0.0));
    for (name, runs) in rows.iter().filter(|row| row.0 == SIZED) {
        let whole = median(runs, |run| run.whole);
        report.goal(Goal::new(
            format!("until whole, {what}, {name}"),
            whole,
            "s",
        ));
    }
}

/// Draws what was published and received in the last run.
fn draw(report: &mut Report, name: &str, title: &str, rows: &Rows) -> io::Result<()> {
    let mut picture = Lines::new(
        format!("{title}: events received"),
        ("seconds", Scale::Linear),
        ("events", Scale::Linear),
    );
    for (contender, runs) in rows.iter().filter(|row| row.0 != DEFAULTS) {
        let Some(last) = runs.last() else { continue };
        let ours = *contender == SIZED;
        for (at, curve) in last.curves.iter().enumerate() {
            let line = match (ours, at) {
                (true, 0) => "published".to_owned(),
                (true, node) => format!("midplane, node {node}"),
                (false, NODES) => format!("by hand, node {NODES}"),
                (false, _) => continue,
            };
            for (seconds, count) in curve {
                picture.point(&line, *seconds, *count);
            }
        }
    }
    report.picture(name, &picture)
}

/// The memory of what is kept.
fn window(report: &mut Report) -> io::Result<()> {
    report.progress("bytes asked of the allocator for what is kept");
    let output = Command::new(own_programs()?.join("window")).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let all: serde_json::Result<Vec<Allocated>> = text.lines().map(serde_json::from_str).collect();
    let all = all?;
    let rows = all.iter();
    let rows = rows.map(|one| vec![one.name.clone(), short(one.bytes)]);
    let rows: Vec<_> = rows.collect();
    report.say("### What is kept to be sent again");
    report.table(&["", "bytes"], &rows);
    for one in all.iter().filter(|one| one.name.starts_with("1,000")) {
        report.goal(Goal::new(one.name.clone(), one.bytes, "bytes"));
    }
    Ok(())
}
