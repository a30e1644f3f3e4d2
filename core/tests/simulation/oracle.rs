//! Judges a run by what each process was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use midplane_core::Instant;
use midplane_core::bus::Lane;
use midplane_core::envelope::NodeId;
use midplane_core::node::News;

use crate::forger;
use crate::world::{Faults, Life, Published, STEP, Told, World};

/// How far back a gap may reach before it could have been lost: four heartbeats and one that is late.
const REACH: Duration = Duration::from_secs(12);

/// What waits longer than this to be sent is dropped where it waits.
const TIME_TO_LIVE: Duration = Duration::from_secs(30);

/// Two heartbeats, and the time that their answers may take.
const NOTICED: Duration = Duration::from_millis(4_250);

/// Who is live for so long answers whoever comes.
const WHILE: Duration = Duration::from_secs(1);

/// A frame is as old as it is later than the fastest, and that one took up to so long.
const FASTEST: Duration = Duration::from_secs(1);

pub(crate) fn judge(world: &World) {
    let mixed = Faults {
        mixed: true,
        ..Faults::default()
    };
    let crashes = Faults {
        crashes: true,
        ..Faults::default()
    };
    for life in &world.lives {
        let delivered = unique_and_ordered(world, life);
        gaps_do_not_cry_wolf(world, life, &delivered);
        if !world.faults.stalls {
            nobody_is_live_while_cut_off(life);
        }
        who_was_down_says_since_when(life);
        if world.faults == mixed {
            what_is_unknown_is_counted(world, life);
        }
        if world.faults == crashes {
            everyone_is_known(world, life);
        }
        if life.ended.is_none() {
            assert!(life.live, "{:?} is not live in the end", life.id);
            every_event_is_accounted_for(world, life, &delivered);
        }
    }
}

/// C1 and C2: each event once, and those of one origin and lane in the order of their numbers.
fn unique_and_ordered(world: &World, life: &Life) -> BTreeSet<u64> {
    let mut delivered = BTreeSet::new();
    let mut highest = BTreeMap::new();
    for told in &life.told {
        let News::Event { event, .. } = &told.news else {
            continue;
        };
        let text = event.as_text().unwrap();
        if text == forger::TEXT {
            continue;
        }
        let number: u64 = text.parse().unwrap();
        let published = &world.published[&number];
        assert_ne!(
            published.origin, life.id,
            "{:?} heard its own event",
            life.id
        );
        assert!(
            delivered.insert(number),
            "{:?} got event {number} twice",
            life.id
        );
        let (lane, sequence, at) = published.sent.unwrap();
        assert!(
            told.at <= at + TIME_TO_LIVE + FASTEST,
            "event {number} came {:?} late",
            told.at - at
        );
        let before = highest.insert((published.origin, lane), (sequence, number));
        let rises = before.is_none_or(|(earlier, other)| earlier < sequence && other < number);
        assert!(rises, "event {number} came out of order");
    }
    delivered
}

/// Readiness tells the truth: who does not hear its own heartbeats is not live for longer than two of them.
fn nobody_is_live_while_cut_off(life: &Life) {
    for (from, until) in &life.cut_off {
        let (from, until) = (*from + NOTICED + 2 * STEP, *until);
        let turns = life.told.iter();
        let turns = turns.filter(|told| matches!(told.news, News::Live | News::Down));
        let turns: Vec<&Told> = turns.collect();
        for (index, turn) in turns.iter().enumerate() {
            let next = turns.get(index + 1).map(|next| next.at);
            let ends = [next, life.ended, Some(until)].into_iter().flatten();
            let (began, ended) = (turn.at.max(from), ends.min().unwrap_or(until));
            assert!(
                turn.news == News::Down || began >= ended,
                "{:?} is live while it is cut off, at {began:?}",
                life.id
            );
        }
    }
}

/// What was published by whoever is gone since, no number tells of: so the time of every outage is told.
fn who_was_down_says_since_when(life: &Life) {
    let turns = life.told.iter();
    let turns = turns.filter(|told| matches!(told.news, News::Live | News::Down));
    let turns: Vec<&Told> = turns.collect();
    for outage in turns.windows(2).filter(|pair| pair[0].news == News::Down) {
        let told = life.told.iter().any(|told| match told.news {
            News::Deaf {
                origin: None,
                since,
                until,
            } => since <= outage[0].at && outage[1].at <= until,
            _ => false,
        });
        assert!(told, "{:?} was down and does not say so", life.id);
    }
}

/// On a perfect bus, who is live knows everyone who was so for a while.
fn everyone_is_known(world: &World, life: &Life) {
    let live = |life: &Life| {
        life.told
            .iter()
            .find(|told| told.news == News::Live)
            .map(|told| told.at)
    };
    let Some(began) = live(life) else {
        return;
    };
    for other in &world.lives {
        let there = live(other).is_some_and(|since| since + WHILE < began);
        if other.id == life.id || !there || other.ended.is_some_and(|ended| ended <= began) {
            continue;
        }
        let joined = |told: &&Told| told.news == News::Joined(other.id) && told.at <= began;
        assert!(
            life.told.iter().any(|told| joined(&told)),
            "{:?} is live and does not know {:?}",
            life.id,
            other.id
        );
    }
}

/// On a perfect bus, each frame and message of a later release is skipped and counted, and nothing else.
fn what_is_unknown_is_counted(world: &World, life: &Life) {
    let (kinds, versions) = world.unknown;
    let own = life.id == world.lives[0].id;
    assert_eq!(life.counters.unknown_versions, versions);
    assert_eq!(life.counters.unknown_kinds, if own { 0 } else { kinds });
    let missing = life.told.iter().filter_map(|told| match &told.news {
        News::Gap { run, .. } => Some(run.last - run.first + 1),
        _ => None,
    });
    assert_eq!(missing.sum::<u64>(), life.counters.unknown_kinds);
}

/// C10: a gap names numbers that were used, that did not come, and that were sent while it mattered.
fn gaps_do_not_cry_wolf(world: &World, life: &Life, delivered: &BTreeSet<u64>) {
    let Some(live) = life.told.iter().find(|told| told.news == News::Live) else {
        return;
    };
    for told in &life.told {
        let News::Gap { origin, lane, run } = &told.news else {
            continue;
        };
        // A forged number may cost a gap of any length.
        if world.fooled.contains(&(life.id, *origin, *lane)) {
            continue;
        }
        let used = world.used.get(&(*origin, *lane)).map_or(0, |used| used.0);
        assert!(
            run.first <= run.last && run.last <= used,
            "a gap of numbers nobody used: {told:?}"
        );
        for (number, published) in &world.published {
            let Some((on, sequence, at)) = published.sent else {
                continue;
            };
            if published.origin == *origin
                && on == *lane
                && (run.first..=run.last).contains(&sequence)
            {
                assert!(
                    !delivered.contains(number),
                    "event {number} came and lies in {told:?}"
                );
                // Until enough frames came, who forged a time decides when what is told was sent.
                assert!(
                    at + REACH >= live.at || world.mistimed.contains(&(life.id, *origin)),
                    "event {number} is of before: {told:?}"
                );
            }
        }
    }
}

/// C4: each event of a publisher that lives on was delivered, or this process was told that it may be
/// missing.
fn every_event_is_accounted_for(world: &World, life: &Life, delivered: &BTreeSet<u64>) {
    let Some(live) = life.told.iter().find(|told| told.news == News::Live) else {
        return;
    };
    let alive = |id: &NodeId| {
        world
            .lives
            .iter()
            .any(|other| other.id == *id && other.ended.is_none())
    };
    for (number, published) in &world.published {
        if published.origin == life.id || delivered.contains(number) || !alive(&published.origin) {
            continue;
        }
        let Some((lane, sequence, at)) = published.sent else {
            let waited = life
                .told
                .last()
                .is_some_and(|told| told.at > published.at + TIME_TO_LIVE);
            assert!(waited, "event {number} was never sent");
            continue;
        };
        assert!(
            !published.healed,
            "{:?} is muted: event {number} did not come",
            life.id
        );
        // A forged heartbeat can say of any number that it was sent before it was ours to hear, and nothing
        // tells it from a true one; so what was lost among forgeries may be lost without a word.
        if world.fooled.contains(&(life.id, published.origin, lane)) {
            continue;
        }
        assert!(
            at < live.at || is_told(life, published.origin, lane, sequence, [at, at]),
            "{:?} lost event {number} without a word",
            life.id
        );
    }
    for (origin, lane, skipped, [before, behind]) in &world.skipped {
        if *origin == life.id || !alive(origin) || world.fooled.contains(&(life.id, *origin, *lane))
        {
            continue;
        }
        assert!(
            *before < live.at || is_told(life, *origin, *lane, *skipped, [*before, *behind]),
            "{:?} was not told of what {origin:?} dropped as {skipped}",
            life.id
        );
    }
    // What was dropped where it waited used up its number.
    let skips = world.skipped.iter().filter(|skip| skip.0 == life.id);
    assert_eq!(skips.count() as u64, life.counters.expired);
    let unsent = |published: &&Published| published.origin == life.id && published.sent.is_none();
    let unsent = world.published.values().filter(unsent).count() as u64;
    assert!(unsent <= life.counters.expired);
}

/// Whether the process was told that this message, sent between these moments, may be missing.
fn is_told(life: &Life, of: NodeId, on: Lane, number: u64, at: [Instant; 2]) -> bool {
    let told = life.told.iter().any(|told| match &told.news {
        News::Gap { origin, lane, run } => {
            (*origin, *lane) == (of, on) && (run.first..=run.last).contains(&number)
        }
        News::Deaf {
            origin,
            since,
            until,
        } => origin.is_none_or(|origin| origin == of) && *since <= at[1] && at[0] <= *until,
        _ => false,
    });
    told || after_silence(life, of, at[0])
}

/// Whether the process was told that this origin is silent, before it heard of it again.
fn after_silence(life: &Life, origin: NodeId, at: Instant) -> bool {
    let silent = life
        .told
        .iter()
        .rposition(|told| told.news == News::Silent(origin));
    silent.is_some_and(|index| {
        let back = life.told[index..]
            .iter()
            .find(|told| told.news == News::Joined(origin));
        back.is_none_or(|back| at <= back.at)
    })
}
