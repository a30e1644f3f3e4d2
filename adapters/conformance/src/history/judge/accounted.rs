//! C4 accounted: no loss without a word.

use std::time::Duration;

use midplane::envelope::NodeId;

use super::delivered::whom;
use super::index::{Point, Shot, Sitting};
use super::life::{Deaf, Life};
use super::{Bench, Check};
use crate::history::{Mark, Relayed, Seat, name};

pub(super) fn judge(bench: &mut Bench<'_>) {
    let index = bench.index;
    let mut marks: Vec<_> = index.events.keys().copied().collect();
    marks.sort_unstable();
    // How many events of each closed node were not sent: its report may account for so many.
    let mut unsent = std::collections::HashMap::new();
    for mark in marks {
        let shot = &index.events[&mark];
        let mut missing = Vec::new();
        for (node, life) in &index.nodes {
            let (until, why) = if *node == shot.node {
                match shot.returned {
                    Some((returned, ..)) => (returned, "and it is on the same node"),
                    None => continue,
                }
            } else if is_owed(bench, mark, shot, life) {
                (flight(bench, mark, shot, life), "and was told of no gap")
            } else {
                continue;
            };
            missing.extend(
                missed(bench, *node, shot, until)
                    .into_iter()
                    .map(|seat| (seat, why)),
            );
        }
        if missing.is_empty() {
            continue;
        }
        let reported = index.nodes.get(&shot.node).and_then(|life| life.unsent);
        if let Some(reported) = reported
            && shot.sent.is_none()
        {
            let count: &mut usize = unsent.entry(shot.node).or_default();
            *count += 1;
            if *count <= reported {
                continue;
            }
        }
        for (seat, why) in missing {
            let sitting = &index.seats[&seat];
            let sent = match shot.sent {
                Some((number, point)) => format!("sent as {number} at {:?}", point.at),
                None => "not seen on the bus".to_owned(),
            };
            let what = format!(
                "{} did not get event {mark} of {} (lane {}, {sent}), was in its audience throughout, {why}",
                whom(sitting),
                name(shot.node),
                shot.lane
            );
            bench.broken(Check::Accounted, Some(mark), what);
        }
    }
}

/// The seats of a node that surely were in the audience from the call until then, and did not get it.
fn missed(bench: &Bench<'_>, node: NodeId, shot: &Shot<'_>, until: Point) -> Vec<Seat> {
    let index = bench.index;
    let mut missed = Vec::new();
    for target in shot.audience.targets() {
        let room = index.rooms.get(&(node, shot.scope.clone(), target.clone()));
        for seat in room.into_iter().flatten() {
            let sitting = &index.seats[seat];
            if shot.audience.excluded().contains(&sitting.connection)
                || !was_member_throughout(bench, sitting, shot, until)
                || missed.contains(seat)
            {
                continue;
            }
            let mut deliveries = shot.deliveries.iter();
            if !deliveries.any(|which| index.deliveries[*which].seat == *seat) {
                missed.push(*seat);
            }
        }
    }
    missed
}

fn was_member_throughout(
    bench: &Bench<'_>,
    sitting: &Sitting,
    shot: &Shot<'_>,
    until: Point,
) -> bool {
    if sitting.doubted.is_some_and(|doubted| doubted <= until) {
        return false;
    }
    let local = sitting.node == shot.node;
    sitting
        .joins
        .iter()
        .enumerate()
        .any(|(which, (target, join))| {
            // With one lane an attachment is heard everywhere; with more it takes a subscription nobody awaits.
            let own = which == 0 && bench.terms.lanes == 1;
            let from = if local || own {
                join.here
            } else {
                join.everywhere
            };
            from.is_some_and(|from| from <= shot.called)
                && join.leaving.is_none_or(|leaving| leaving > until)
                && shot.audience.targets().any(|named| named == target)
        })
}

/// Until when the event may have come: until a later one of its lane did.
fn flight(bench: &Bench<'_>, mark: Mark, shot: &Shot<'_>, life: &Life) -> Point {
    let later = match shot.sent {
        Some((number, _)) => life
            .heard
            .get(&(shot.node, shot.lane))
            .and_then(|heard| heard.above(number)),
        None => life
            .heard_of
            .get(&(mark.publisher, shot.lane))
            .and_then(|heard| heard.above(u64::from(mark.number))),
    };
    later.unwrap_or(bench.index.end)
}

/// Whether the node of this life has to have the event, having told of nothing that accounts for it.
fn is_owed(bench: &Bench<'_>, mark: Mark, shot: &Shot<'_>, life: &Life) -> bool {
    let Bench { index, terms, .. } = bench;
    let relayed = shot
        .returned
        .is_some_and(|(.., relay)| relay == Relayed::Queued);
    let Some(origin) = index.nodes.get(&shot.node).filter(|_| relayed) else {
        return false;
    };
    // Who crashes takes with it what it did not send, and the heartbeat that would tell of what was lost.
    if origin.ended.is_some() && origin.unsent.is_none() {
        return false;
    }
    let (from, until) = match shot.sent {
        Some((_, sent)) => (sent, sent.at + terms.delay),
        // Given up, it used a number by the time the next one of its publisher was sent.
        None => (shot.called, next_sent(bench, mark, shot)),
    };
    if life.first_live().is_none_or(|live| from <= live) {
        return false;
    }
    // A forged heartbeat can say of any number that it was sent before it was ours to hear. It must end with
    // the forging.
    if !index.forged.is_empty() && index.is_broken(from.at, until) {
        return false;
    }
    // Who closed sends no more heartbeats: a lost tail is told by its silence.
    if origin.ended.is_some() && index.is_broken(from.at, until) {
        return false;
    }
    // Nor does who ended have to know what the next heartbeat that reached it would have told.
    if let Some(end) = life.closing.or(life.ended)
        && !index.was_well(from.at, end.at, terms.reach())
    {
        return false;
    }
    let deaf = |deaf: &Deaf| {
        deaf.origin.is_none_or(|origin| origin == shot.node)
            && deaf.since <= until
            && from.at <= deaf.until
    };
    let accounted = lies_in_gap(bench, mark, shot, life)
        || life.deafs.iter().any(deaf)
        || life.lagged.iter().any(|lagged| *lagged > shot.called)
        || is_silent(bench, shot.node, life, from.at, until);
    !accounted
}

fn lies_in_gap(bench: &Bench<'_>, mark: Mark, shot: &Shot<'_>, life: &Life) -> bool {
    let mut gaps = life
        .gaps
        .iter()
        .filter(|gap| gap.origin == shot.node && gap.lane == shot.lane && gap.told > shot.called);
    if let Some((number, _)) = shot.sent {
        return gaps.any(|gap| (gap.first..=gap.last).contains(&number));
    }
    if !bench.index.is_tapped(shot.node) {
        return gaps.next().is_some();
    }
    // Its number lies between those of the events that its publisher published before and after it.
    let (before, after) = neighbours(bench, mark, shot);
    let after = after.map_or(u64::MAX, |(number, _)| number);
    gaps.any(|gap| gap.first.max(before + 1) <= gap.last.min(after - 1))
}

/// When a later event of the same publisher and lane was sent first, or else the end.
fn next_sent(bench: &Bench<'_>, mark: Mark, shot: &Shot<'_>) -> Duration {
    let (_, after) = neighbours(bench, mark, shot);
    after.map_or(bench.index.end.at, |(_, point)| point.at)
}

/// The numbers nearest to an event that was not sent: of what its publisher published on its lane before,
/// and after.
fn neighbours(bench: &Bench<'_>, mark: Mark, shot: &Shot<'_>) -> (u64, Option<(u64, Point)>) {
    let Some(sent) = bench.index.sent.get(&(shot.node, shot.lane)) else {
        return (0, None);
    };
    let mut before = 0;
    let mut after = None;
    for (number, sending) in sent {
        let Some(other) = sending
            .mark
            .filter(|other| other.publisher == mark.publisher)
        else {
            continue;
        };
        if other.number < mark.number {
            before = *number;
        } else if after.is_none() {
            after = Some((*number, sending.point));
        }
    }
    (before, after)
}

/// Whether the node said that it hears no more of the origin, at a time when this was under way.
fn is_silent(
    bench: &Bench<'_>,
    origin: NodeId,
    life: &Life,
    from: Duration,
    until: Duration,
) -> bool {
    let silence = bench.terms.silence();
    let mut silences = life.silences.iter().filter(|(_, of)| *of == origin);
    silences.any(|(told, _)| {
        let back = life
            .joined
            .iter()
            .find(|(back, of)| *of == origin && back > told);
        let back = back.map_or(Duration::MAX, |(back, _)| back.at);
        told.at.saturating_sub(silence) <= until && from <= back
    })
}
