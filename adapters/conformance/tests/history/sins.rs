//! For each check a history with one sin, which that check finds and no other does.

use std::collections::BTreeSet;
use std::time::Duration;

use midplane::Target;
use midplane_conformance::history::{Check, Fact, History, Mark, Outcome, Record, Seat, judge};

use crate::world::{TERMS, World};

/// What a sin is committed on: a run of two nodes with two connections in one topic, one of which leaves.
struct Story {
    history: History,
    first: Mark,
    second: Mark,
    /// Published in the audience of nobody.
    aside: Mark,
    /// On the node that publishes, and on the other.
    near: Seat,
    far: Seat,
    /// On the other node, but detached in the end.
    gone: Seat,
    /// Published when all is well again.
    late: Mark,
}

fn story() -> Story {
    let mut world = World::new(2);
    let topic = Target::topic("t").unwrap();
    let near = world.attach(0, "near", &["t"]);
    let far = world.attach(1, "far", &["t"]);
    let gone = world.attach(1, "gone", &["t"]);
    let first = world.publish(0, topic.clone());
    let second = world.publish(0, topic.clone());
    let aside = world.publish(0, Target::topic("aside").unwrap());
    world.detach(gone);
    world.pass(30_000);
    world.break_bus();
    world.lossy.insert((0, 1));
    world.publish(0, topic.clone());
    world.heal();
    world.pass(30_000);
    let late = world.publish(0, topic);
    Story {
        history: world.finish(),
        first,
        second,
        aside,
        near,
        far,
        gone,
        late,
    }
}

impl Story {
    fn find(&self, satisfies: impl Fn(&Fact) -> bool) -> usize {
        let mut records = self.history.records.iter();
        records
            .position(|record| satisfies(&record.fact))
            .expect("it is in the story")
    }

    fn delivery(&self, to: Seat, of: Mark) -> usize {
        self.find(|fact| {
            matches!(fact, Fact::Delivered { seat, mark, .. } if *seat == to && *mark == Some(of))
        })
    }

    /// Puts a fact behind that at this place.
    fn insert(&mut self, behind: usize, fact: Fact) {
        let at = self.history.records[behind].at;
        self.history.records.insert(behind + 1, Record { at, fact });
    }

    fn last(&self) -> usize {
        self.history.records.len() - 1
    }

    fn delivered(&self, seat: Seat, mark: Mark) -> Fact {
        Fact::Delivered {
            seat,
            mark: Some(mark),
            hash: midplane_conformance::history::hash(&mark.event(3)),
            outcome: Outcome::Accepted,
        }
    }

    fn gap(&self, first: u64, last: u64) -> Fact {
        let (node, origin) = (
            midplane::envelope::NodeId([2; 16]),
            midplane::envelope::NodeId([1; 16]),
        );
        Fact::Gap {
            node,
            origin,
            lane: 0,
            first,
            last,
        }
    }
}

type Sin = (&'static str, Check, fn(&mut Story));

const SINS: &[Sin] = &[
    ("an event comes twice from afar", Check::Unique, |story| {
        let place = story.delivery(story.far, story.second);
        story.insert(place, story.delivered(story.far, story.second));
    }),
    ("an echo comes back", Check::Unique, |story| {
        let place = story.delivery(story.far, story.first);
        story.insert(place, story.delivered(story.near, story.first));
    }),
    ("two events change places", Check::Ordered, |story| {
        let first = story.delivery(story.far, story.first);
        let second = story.delivery(story.far, story.second);
        let fact = story.history.records[first].fact.clone();
        story.insert(second, fact);
        story.history.records.remove(first);
    }),
    ("an event comes to a stranger", Check::Member, |story| {
        let place = story.delivery(story.far, story.second);
        let place = story.history.records[place..]
            .iter()
            .position(|record| matches!(record.fact, Fact::Detaching(_)))
            .map_or(place, |further| place + further - 1);
        story.insert(place, story.delivered(story.far, story.aside));
    }),
    (
        "an event comes to one who left before it was published",
        Check::Member,
        |story| {
            story
                .history
                .records
                .retain(|record| !matches!(record.fact, Fact::Detached(_)));
            let last = story.find(
                |fact| matches!(fact, Fact::Sent { mark: Some(mark), .. } if *mark == story.late),
            );
            story.insert(last, story.delivered(story.gone, story.late));
        },
    ),
    (
        "an event is lost without a word",
        Check::Accounted,
        |story| {
            let place = story.delivery(story.far, story.first);
            story.history.records.remove(place);
        },
    ),
    ("the gap is not told", Check::Accounted, |story| {
        let place = story.find(|fact| matches!(fact, Fact::Gap { .. }));
        story.history.records.remove(place);
    }),
    ("the gap told is another's", Check::Accounted, |story| {
        let place = story.find(|fact| matches!(fact, Fact::Gap { .. }));
        if let Fact::Gap { origin, .. } = &mut story.history.records[place].fact {
            *origin = midplane::envelope::NodeId([9; 16]);
        }
        // That the other never was is not what this is about.
        let origin = midplane::envelope::NodeId([9; 16]);
        for number in 1..=4 {
            let sent = Fact::Sent {
                origin,
                lane: 0,
                number,
                frame: number,
                mark: None,
            };
            story.insert(place - 1, sent);
        }
    }),
    (
        "an accepted event is never sent",
        Check::Accounted,
        |story| {
            let (first, far, gone) = (story.first, story.far, story.gone);
            story.history.records.retain(|record| match &record.fact {
                Fact::Sent { mark, .. } => *mark != Some(first),
                Fact::Delivered { seat, mark, .. } => {
                    *mark != Some(first) || (*seat != far && *seat != gone)
                }
                _ => true,
            });
        },
    ),
    (
        "a sink runs after its awaited detach",
        Check::Detached,
        |story| {
            let second = story.delivery(story.gone, story.second);
            let detached = story.find(|fact| matches!(fact, Fact::Detached(_)));
            let fact = story.history.records[second].fact.clone();
            story.insert(detached, fact);
            story.history.records.remove(second);
        },
    ),
    ("a byte is changed on the way", Check::Intact, |story| {
        let place = story.delivery(story.far, story.first);
        if let Fact::Delivered { hash, .. } = &mut story.history.records[place].fact {
            *hash ^= 1;
        }
    }),
    (
        "something comes that nobody published",
        Check::Intact,
        |story| {
            let place = story.delivery(story.far, story.first);
            let fact = Fact::Delivered {
                seat: story.far,
                mark: None,
                hash: 7,
                outcome: Outcome::Accepted,
            };
            story.insert(place, fact);
        },
    ),
    ("a node is never live again", Check::Heals, |story| {
        let last = story.last();
        let node = midplane::envelope::NodeId([2; 16]);
        story.insert(last, Fact::State { node, live: false });
        story.insert(last, Fact::Healed);
        story.insert(last, Fact::Broken);
    }),
    ("a node is live though it is cut", Check::Heals, |story| {
        let place = story.find(|fact| matches!(fact, Fact::Attached(_)));
        let node = midplane::envelope::NodeId([2; 16]);
        story.insert(place, Fact::Cut(node));
    }),
    ("a queue grows beyond its bound", Check::Bounded, |story| {
        let last = story.last();
        let what = "queue of node 0101".to_owned();
        let (value, cap) = (101, 100);
        story.insert(last, Fact::Level { what, value, cap });
    }),
    ("more waits to be sent than may", Check::Bounded, |story| {
        let first = story.first;
        for record in &mut story.history.records {
            if let Fact::Publishing { mark, bytes, .. } = &mut record.fact
                && *mark == first
            {
                *bytes = 1_001;
            }
        }
    }),
    ("a receipt counts one too many", Check::Truthful, |story| {
        let first = story.first;
        let place =
            story.find(|fact| matches!(fact, Fact::Published { mark, .. } if *mark == first));
        if let Fact::Published { tally, .. } = &mut story.history.records[place].fact {
            tally.accepted += 1;
        }
    }),
    (
        "a receipt takes full for accepted",
        Check::Truthful,
        |story| {
            let place = story.delivery(story.near, story.first);
            if let Fact::Delivered { outcome, .. } = &mut story.history.records[place].fact {
                *outcome = Outcome::Full;
            }
        },
    ),
    ("a gap claims what came", Check::NoWolf, |story| {
        let place = story.find(|fact| matches!(fact, Fact::Gap { .. }));
        story.insert(place, story.gap(3, 4));
        let came = story.gap(2, 4);
        story.insert(place, came);
    }),
    ("a gap claims what was never sent", Check::NoWolf, |story| {
        let place = story.find(|fact| matches!(fact, Fact::Gap { .. }));
        story.insert(place, story.gap(4, 5));
    }),
    (
        "a gap claims what was sent while nothing was wrong",
        Check::NoWolf,
        |story| {
            let place = story.find(|fact| matches!(fact, Fact::Detached(_)));
            let origin = midplane::envelope::NodeId([1; 16]);
            story.insert(place, story.gap(40, 40));
            let sent = Fact::Sent {
                origin,
                lane: 0,
                number: 40,
                frame: 40,
                mark: None,
            };
            story.insert(place, sent);
        },
    ),
    (
        "a node says it was deaf when nothing was wrong",
        Check::NoWolf,
        |story| {
            let place = story.find(|fact| matches!(fact, Fact::Detached(_)));
            let until = story.history.records[place].at;
            let since = until - Duration::from_secs(1);
            let node = midplane::envelope::NodeId([2; 16]);
            let origin = None;
            let deaf = Fact::Deaf {
                node,
                origin,
                since,
                until,
            };
            story.insert(place, deaf);
        },
    ),
];

#[test]
fn the_story_is_good() {
    assert_eq!(judge(&story().history, &TERMS), []);
}

#[test]
fn each_sin_is_found_by_its_check_alone() {
    for (name, check, commit) in SINS {
        let mut story = story();
        commit(&mut story);
        let found = judge(&story.history, &TERMS);
        let checks: BTreeSet<Check> = found.iter().map(|violation| violation.check).collect();
        assert_eq!(checks, BTreeSet::from([*check]), "{name}: {found:#?}");
        // Whoever reads it knows where to look.
        let told = found.iter().any(|violation| {
            violation.explanation.contains("node 0") || violation.check == Check::Bounded
        });
        assert!(told, "{name}: {found:#?}");
    }
}

/// A node that is deaf from before a fault until it has healed of another, which begins so long after the end of the
/// first, in seconds.
fn deaf_through_two(between: u64) -> History {
    let mut world = World::new(2);
    world.break_bus();
    let since = world.now();
    let node = midplane::envelope::NodeId([2; 16]);
    world.note(Fact::State { node, live: false });
    world.pass(90_000);
    world.note(Fact::Healed);
    world.pass(between * 1_000);
    world.note(Fact::Broken);
    world.pass(1_000);
    world.heal();
    let (origin, until) = (None, world.now());
    world.note(Fact::State { node, live: true });
    world.note(Fact::Deaf {
        node,
        origin,
        since,
        until,
    });
    world.finish()
}

#[test]
fn who_was_not_to_heal_between_two_faults_may_be_deaf_through_both() {
    // Within 5 s of the heal it need not be live.
    assert_eq!(judge(&deaf_through_two(4), &TERMS), []);
    let found = judge(&deaf_through_two(10), &TERMS);
    let checks: Vec<Check> = found.iter().map(|violation| violation.check).collect();
    assert_eq!(checks, [Check::Heals, Check::NoWolf], "{found:#?}");
}

#[test]
fn every_check_has_a_sin() {
    let named: BTreeSet<Check> = SINS.iter().map(|(_, check, _)| *check).collect();
    assert_eq!(named, BTreeSet::from(Check::ALL));
}
