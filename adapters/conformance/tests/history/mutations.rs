//! Whatever is done to a good history at random is found by the check whose affair it is.

use std::time::Duration;

use midplane_conformance::history::{
    Check, Fact, History, Mark, Outcome, Record, Relayed, Seat, judge,
};
use midplane_testkit::random::{Draw, Random};

use crate::world::{TERMS, World};

const SEEDS: u64 = 200;

/// So near to a fault something may be lost.
const NEAR: Duration = Duration::from_secs(3);

/// Changes a history at random places; false if it has none such.
type Mutation = fn(&mut History, &mut Random) -> bool;

/// Mutates good histories and requires the check to find it, and that most seeds could be mutated.
fn found_by(check: Check, mutate: Mutation) {
    let mut done = 0;
    for seed in 0..SEEDS {
        let mut history = World::random(seed);
        if !mutate(&mut history, &mut Random::new(!seed)) {
            continue;
        }
        done += 1;
        let found = judge(&history, &TERMS);
        assert!(
            found.iter().any(|violation| violation.check == check),
            "seed {seed}: {check} is blind: {found:#?}"
        );
    }
    assert!(done >= SEEDS / 10, "only {done} histories were mutated");
}

/// The places of the facts that satisfy this.
fn places(history: &History, satisfies: impl Fn(&Record) -> bool) -> Vec<usize> {
    let records = history.records.iter().enumerate();
    let satisfying = records.filter(|(_, record)| satisfies(record));
    satisfying.map(|(place, _)| place).collect()
}

fn deliveries(history: &History) -> Vec<usize> {
    places(history, |record| {
        matches!(record.fact, Fact::Delivered { .. })
    })
}

fn delivery(history: &History, place: usize) -> (Seat, Mark) {
    match history.records[place].fact {
        Fact::Delivered {
            seat,
            mark: Some(mark),
            ..
        } => (seat, mark),
        _ => unreachable!("only deliveries are asked for"),
    }
}

/// Whether nothing is wrong anywhere near this place, so that nothing may be lost.
fn is_calm(history: &History, place: usize) -> bool {
    let at = history.records[place].at;
    let near = |record: &Record| record.at + NEAR > at && at + NEAR > record.at;
    let fault = |fact: &Fact| {
        matches!(
            fact,
            Fact::Broken | Fact::Healed | Fact::Gap { .. } | Fact::Deaf { .. }
        )
    };
    let broken = history.records[..place]
        .iter()
        .rev()
        .find_map(|record| match record.fact {
            Fact::Broken => Some(true),
            Fact::Healed => Some(false),
            _ => None,
        });
    broken != Some(true)
        && !history
            .records
            .iter()
            .any(|record| near(record) && fault(&record.fact))
}

/// Whether the seat is where it was until the end.
fn stays(history: &History, which: Seat) -> bool {
    let id = history
        .records
        .iter()
        .find_map(|record| match &record.fact {
            Fact::Attaching {
                seat, connection, ..
            } if *seat == which => Some(connection),
            _ => None,
        });
    !history.records.iter().any(|record| match &record.fact {
        Fact::Dissociating { seat, .. } | Fact::Detaching(seat) => *seat == which,
        Fact::Attaching {
            seat, connection, ..
        } => *seat != which && Some(connection) == id,
        _ => false,
    })
}

#[test]
fn a_delivery_that_is_dropped() {
    found_by(Check::Accounted, |history, random| {
        let victims = deliveries(history);
        let victims: Vec<usize> = victims
            .into_iter()
            .filter(|place| is_calm(history, *place) && stays(history, delivery(history, *place).0))
            .collect();
        let Some(place) = random.pick(&victims) else {
            return false;
        };
        history.records.remove(*place);
        true
    });
}

#[test]
fn a_delivery_that_is_repeated() {
    found_by(Check::Unique, |history, random| {
        let Some(place) = random.pick(&deliveries(history)).copied() else {
            return false;
        };
        let record = history.records[place].clone();
        let later = place + random.below((history.records.len() - place) as u64) as usize;
        let at = history.records[later].at;
        let fact = record.fact;
        history.records.insert(later + 1, Record { at, fact });
        true
    });
}

#[test]
fn two_deliveries_that_change_places() {
    found_by(Check::Ordered, |history, random| {
        let all = deliveries(history);
        let Some(first) = random.pick(&all).copied() else {
            return false;
        };
        let (seat, mark) = delivery(history, first);
        let second = all.iter().copied().find(|place| {
            let (other, later) = delivery(history, *place);
            *place > first && other == seat && later.publisher == mark.publisher
        });
        let Some(second) = second else { return false };
        let fact = history.records[first].fact.clone();
        history.records[first].fact = std::mem::replace(&mut history.records[second].fact, fact);
        true
    });
}

#[test]
fn a_delivery_after_the_detach() {
    found_by(Check::Detached, |history, random| {
        let detached = places(history, |record| matches!(record.fact, Fact::Detached(_)));
        let Some(place) = random.pick(&detached).copied() else {
            return false;
        };
        let Fact::Detached(seat) = history.records[place].fact else {
            return false;
        };
        let Some(victim) = random.pick(&deliveries(history)).copied() else {
            return false;
        };
        let mut record = history.records[victim].clone();
        if let Fact::Delivered { seat: whose, .. } = &mut record.fact {
            *whose = seat;
        }
        record.at = history.records[place].at;
        history.records.insert(place + 1, record);
        true
    });
}

#[test]
fn a_delivery_to_someone_else() {
    found_by(Check::Member, |history, random| {
        let seats = places(history, |record| matches!(record.fact, Fact::Attached(_)));
        let Some(place) = random.pick(&deliveries(history)).copied() else {
            return false;
        };
        let attached = random.pick(&seats).map(|at| &history.records[*at].fact);
        let Some(Fact::Attached(other)) = attached else {
            return false;
        };
        let other = *other;
        // Nobody who ever was in the topic, and nobody who is attached later.
        let (_, mark) = delivery(history, place);
        let audience = history
            .records
            .iter()
            .find_map(|record| match &record.fact {
                Fact::Publishing {
                    mark: found,
                    audience,
                    ..
                } if *found == mark => Some(audience.clone()),
                _ => None,
            });
        let Some(audience) = audience else {
            return false;
        };
        let stranger = !history.records.iter().any(|record| match &record.fact {
            Fact::Associating { seat, target } => {
                *seat == other && audience.targets().any(|named| named == target)
            }
            _ => false,
        });
        let sits = history.records[..place]
            .iter()
            .any(|record| record.fact == Fact::Attached(other));
        let gone = history.records[..place]
            .iter()
            .any(|record| record.fact == Fact::Detached(other));
        if !stranger || !sits || gone {
            return false;
        }
        if let Fact::Delivered { seat, .. } = &mut history.records[place].fact {
            *seat = other;
        }
        true
    });
}

#[test]
fn bytes_that_are_altered() {
    found_by(Check::Intact, |history, random| {
        let bit = 1 << random.below(64);
        let Some(place) = random.pick(&deliveries(history)).copied() else {
            return false;
        };
        if let Fact::Delivered { hash, .. } = &mut history.records[place].fact {
            *hash ^= bit;
        }
        true
    });
}

#[test]
fn a_receipt_that_is_forged() {
    found_by(Check::Truthful, |history, random| {
        let receipts = places(history, |record| {
            matches!(record.fact, Fact::Published { .. })
        });
        let Some(place) = random.pick(&receipts).copied() else {
            return false;
        };
        if let Fact::Published { tally, .. } = &mut history.records[place].fact {
            match random.below(4) {
                0 => tally.full += 1,
                1 => tally.closed += 1,
                2 => tally.panicked += 1,
                _ => tally.accepted += 1,
            }
        }
        true
    });
}

#[test]
fn a_delivery_that_the_receipt_does_not_know() {
    found_by(Check::Truthful, |history, random| {
        let victims = deliveries(history);
        // A sink's word between the call and the receipt is the receipt's affair.
        let victims: Vec<usize> = victims
            .into_iter()
            .filter(|place| {
                let (_, mark) = delivery(history, *place);
                history.records[*place..].iter().any(|record| {
                    matches!(record.fact, Fact::Published { mark: found, .. } if found == mark)
                })
            })
            .collect();
        let Some(place) = random.pick(&victims).copied() else {
            return false;
        };
        if let Fact::Delivered { outcome, .. } = &mut history.records[place].fact {
            *outcome = Outcome::Full;
        }
        true
    });
}

#[test]
fn a_gap_that_is_not_told() {
    found_by(Check::Accounted, |history, random| {
        let gaps = places(history, |record| matches!(record.fact, Fact::Gap { .. }));
        // A gap that is about nobody who is there, or that deafness accounts for as well, may go.
        let gaps: Vec<usize> = gaps
            .into_iter()
            .filter(|place| matters(history, *place))
            .collect();
        let Some(place) = random.pick(&gaps).copied() else {
            return false;
        };
        history.records.remove(place);
        true
    });
}

/// Whether someone who stays missed something that only this gap tells of.
fn matters(history: &History, place: usize) -> bool {
    let Fact::Gap {
        node,
        origin,
        first,
        last,
        ..
    } = history.records[place].fact
    else {
        return false;
    };
    let deaf = history
        .records
        .iter()
        .any(|record| matches!(record.fact, Fact::Deaf { node: found, .. } if found == node));
    let lost: Vec<Mark> = history
        .records
        .iter()
        .filter_map(|record| match record.fact {
            Fact::Sent {
                origin: by,
                number,
                mark,
                ..
            } if by == origin && (first..=last).contains(&number) => mark,
            _ => None,
        })
        .collect();
    let topics = |mark: Mark| {
        history
            .records
            .iter()
            .enumerate()
            .find_map(|(at, record)| match &record.fact {
                Fact::Publishing {
                    mark: found,
                    audience,
                    ..
                } if *found == mark && audience.excluded().is_empty() => {
                    Some((at, audience.targets().next().cloned()?))
                }
                _ => None,
            })
    };
    let seats = |at: usize, topic: &midplane::Target| {
        history.records[..at]
            .iter()
            .any(|record| match &record.fact {
                Fact::Associated { seat, target, .. } => {
                    target == topic && stays(history, *seat) && sits_on(history, *seat, node)
                }
                _ => false,
            })
    };
    !deaf
        && lost
            .into_iter()
            .filter_map(topics)
            .any(|(at, topic)| seats(at, &topic))
}

fn sits_on(history: &History, which: Seat, at: midplane::envelope::NodeId) -> bool {
    history.records.iter().any(|record| {
        matches!(record.fact, Fact::Attaching { seat, node, .. } if seat == which && node == at)
    })
}

#[test]
fn a_gap_that_claims_one_more() {
    found_by(Check::NoWolf, |history, random| {
        let gaps = places(history, |record| matches!(record.fact, Fact::Gap { .. }));
        let Some(place) = random.pick(&gaps).copied() else {
            return false;
        };
        let Fact::Gap {
            node,
            origin,
            ref mut last,
            ..
        } = history.records[place].fact
        else {
            return false;
        };
        *last += 1;
        let more = *last;
        // What came next may not have come for anyone, or got lost in turn.
        let next = history.records.iter().find_map(|record| match record.fact {
            Fact::Sent {
                origin: by,
                number,
                mark,
                ..
            } if by == origin && number == more => mark,
            _ => None,
        });
        next.is_none()
            || history.records.iter().any(|record| match record.fact {
                Fact::Delivered { seat, mark, .. } => mark == next && sits_on(history, seat, node),
                _ => false,
            })
    });
}

#[test]
fn an_event_that_was_refused_after_all() {
    found_by(Check::Accounted, |history, random| {
        // The other way round: a lost one whose receipt said so is accounted for; then it says it was queued.
        let victims = deliveries(history);
        let victims: Vec<usize> = victims
            .into_iter()
            .filter(|place| is_calm(history, *place) && stays(history, delivery(history, *place).0))
            .collect();
        let Some(place) = random.pick(&victims).copied() else {
            return false;
        };
        let (_, mark) = delivery(history, place);
        let sender = history.records[..place].iter().any(
            |record| matches!(record.fact, Fact::Published { mark: found, .. } if found == mark),
        );
        if !sender {
            return false;
        }
        history.records.remove(place);
        let mut refused = history.clone();
        for record in &mut refused.records {
            if let Fact::Published {
                mark: found, relay, ..
            } = &mut record.fact
                && *found == mark
            {
                *relay = Relayed::Not;
            }
        }
        let found = judge(&refused, &TERMS);
        assert!(found.is_empty(), "{found:#?}");
        true
    });
}

#[test]
fn a_node_that_is_not_live_in_the_end() {
    found_by(Check::Heals, |history, random| {
        let node = midplane::envelope::NodeId([1 + random.below(2) as u8; 16]);
        let at = history.end - Duration::from_secs(1);
        let fact = Fact::State { node, live: false };
        history.records.push(Record { at, fact });
        true
    });
}
