//! C1 unique, C2 ordered, C6 intact: what came, beside what was published.

use std::collections::HashMap;

use midplane::envelope::NodeId;

use super::index::{Delivery, Shot, Sitting};
use super::{Bench, Check};
use crate::history::{Mark, Seat, name};

/// The highest that came to a seat of one publisher or lane, and which event it was.
type Highest<K> = HashMap<(Seat, K), (u64, Mark)>;

pub(super) fn judge(bench: &mut Bench<'_>) {
    let index = bench.index;
    let mut seen = HashMap::new();
    let mut by_publisher = Highest::<(u32, Option<u32>)>::new();
    let mut by_lane = Highest::<(NodeId, u32)>::new();
    for delivery in &index.deliveries {
        let sitting = &index.seats[&delivery.seat];
        let shot = delivery.mark.and_then(|mark| index.events.get(&mark));
        let (Some(mark), Some(shot)) = (delivery.mark, shot) else {
            if !index.forged.contains(&delivery.hash) {
                let what = format!("{} got what nobody published", whom(sitting));
                bench.broken(Check::Intact, delivery.mark, what);
            }
            continue;
        };
        if shot.hash != delivery.hash && !index.forged.contains(&delivery.hash) {
            let what = format!("{} got event {mark} with other bytes", whom(sitting));
            bench.broken(Check::Intact, Some(mark), what);
        }
        let whose = (sitting.node, &sitting.scope, &sitting.connection, mark);
        if let Some(before) = seen.insert(whose, delivery.point.at) {
            let what = format!(
                "{} got event {mark} twice, at {before:?} and at {:?}",
                whom(sitting),
                delivery.point.at
            );
            bench.broken(Check::Unique, Some(mark), what);
            continue;
        }
        ordered(bench, delivery, mark, shot, &mut by_publisher, &mut by_lane);
    }
}

fn ordered(
    bench: &mut Bench<'_>,
    delivery: &Delivery,
    mark: Mark,
    shot: &Shot<'_>,
    by_publisher: &mut Highest<(u32, Option<u32>)>,
    by_lane: &mut Highest<(NodeId, u32)>,
) {
    let sitting = &bench.index.seats[&delivery.seat];
    let remote = sitting.node != shot.node;
    // Between nodes the order is that of a lane.
    let lane = remote.then_some(shot.lane);
    let key = (delivery.seat, (mark.publisher, lane));
    let number = u64::from(mark.number);
    if let Some((highest, before)) = raise(by_publisher, key, number, mark)
        && highest > number
    {
        let what = format!(
            "{} got event {mark} after event {before} of the same publisher",
            whom(sitting)
        );
        bench.broken(Check::Ordered, Some(mark), what);
        return;
    }
    let Some((number, _)) = shot.sent.filter(|_| remote) else {
        return;
    };
    let key = (delivery.seat, (shot.node, shot.lane));
    if let Some((highest, before)) = raise(by_lane, key, number, mark)
        && highest > number
    {
        let what = format!(
            "{} got event {mark} after event {before}, but {} sent them on lane {} as {number} and {highest}",
            whom(sitting),
            name(shot.node),
            shot.lane
        );
        bench.broken(Check::Ordered, Some(mark), what);
    }
}

/// Raises the highest to this number, and gives what it was before.
fn raise<K: std::hash::Hash + Eq>(
    highest: &mut Highest<K>,
    key: (Seat, K),
    number: u64,
    mark: Mark,
) -> Option<(u64, Mark)> {
    let entry = highest.entry(key).or_insert((number, mark));
    let before = *entry;
    if number > entry.0 {
        *entry = (number, mark);
    }
    (before.1 != mark).then_some(before)
}

/// The connection and where it is, for people.
pub(super) fn whom(sitting: &Sitting) -> String {
    format!("{} of {}", sitting.connection, name(sitting.node))
}
