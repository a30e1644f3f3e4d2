//! C3 member, C5 detached: to whom it came.

use super::delivered::whom;
use super::index::{Delivery, Shot, Sitting};
use super::{Bench, Check};

pub(super) fn judge(bench: &mut Bench<'_>) {
    let index = bench.index;
    for delivery in &index.deliveries {
        let sitting = &index.seats[&delivery.seat];
        if let Some(detached) = sitting.detached
            && detached < delivery.point
        {
            let what = format!(
                "{} was called at {:?}, after its awaited detach was ready at {:?}",
                whom(sitting),
                delivery.point.at,
                detached.at
            );
            bench.broken(Check::Detached, delivery.mark, what);
            continue;
        }
        let shot = delivery.mark.and_then(|mark| index.events.get(&mark));
        if let Some(shot) = shot
            && !was_member(sitting, shot, delivery)
        {
            let what = format!(
                "{} got event {}, but was never in its audience while that was under way",
                whom(sitting),
                delivery
                    .mark
                    .map(|mark| mark.to_string())
                    .unwrap_or_default()
            );
            bench.broken(Check::Member, delivery.mark, what);
        }
    }
}

/// Whether the seat was in the audience at some instant between the call of the publish and this delivery.
fn was_member(sitting: &Sitting, shot: &Shot<'_>, delivery: &Delivery) -> bool {
    if *shot.scope != sitting.scope || shot.audience.excluded().contains(&sitting.connection) {
        return false;
    }
    if sitting.left.is_some_and(|left| left < shot.called) {
        return false;
    }
    sitting.joins.iter().any(|(target, join)| {
        join.from <= delivery.point
            && join.until.is_none_or(|until| shot.called <= until)
            && shot.audience.targets().any(|named| named == target)
    })
}
