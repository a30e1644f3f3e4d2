//! What is done to the good history, and the check that has to find it.

use std::time::Duration;

use midplane::{Audience, LaneMap, Scope, Target};
use midplane_conformance::history::{Check, Fact, SinkOutcome};

use crate::story::{Story, node};

pub(crate) type Mutation = (&'static str, Check, fn(&mut Story));

pub(crate) const MUTATIONS: &[Mutation] = &[
    ("an event arrives twice", Check::Unique, |story| {
        let position = story.find_delivery(story.far, story.second);
        story.insert(position, story.delivered(story.far, story.second));
    }),
    ("an echo is delivered", Check::Unique, |story| {
        let position = story.find_delivery(story.far, story.first);
        story.insert(position, story.delivered(story.near, story.first));
    }),
    ("two events change places", Check::Ordered, |story| {
        let second = story.find_delivery(story.far, story.second);
        story.insert(second, story.delivered(story.far, story.first));
        story.remove_delivery(story.far, story.first);
    }),
    (
        "an event arrives outside its audience",
        Check::Member,
        |story| {
            let position = story.find_delivery(story.far, story.late);
            story.insert(position - 1, story.delivered(story.far, story.aside));
            story.remove(position + 1);
            let late = story.delivered(story.far, story.late);
            story.insert(position, late);
        },
    ),
    (
        "an event arrives at a connection that left before",
        Check::Member,
        |story| {
            story.remove(story.find_detached());
            let late = story.find_delivery(story.far, story.late);
            story.insert(late, story.delivered(story.gone, story.late));
        },
    ),
    (
        "an event is lost without a report",
        Check::Accounted,
        |story| drop(story.remove_delivery(story.far, story.first)),
    ),
    ("a gap is not reported", Check::Accounted, |story| {
        story.remove(story.find_gap());
    }),
    ("a gap names another origin", Check::Accounted, |story| {
        let other = node(8);
        story.alter(|fact| {
            if let Fact::Gap { origin, .. } = fact {
                *origin = other;
            }
        });
        // That the other origin never existed is not the mutation.
        let fault = story.find(|fact| *fact == Fact::FaultBegan);
        (1..=4).for_each(|number| story.insert(fault, story.sent(other, number)));
    }),
    (
        "an accepted event is never sent",
        Check::Accounted,
        |story| {
            let (first, near) = (story.first, story.near);
            story.history.records.retain(|record| match record.fact {
                Fact::Sent { tag, .. } => tag != Some(first),
                Fact::Delivered {
                    attachment, tag, ..
                } => tag != Some(first) || attachment == near,
                _ => true,
            });
        },
    ),
    (
        "a sink runs after its awaited detach",
        Check::Detached,
        |story| {
            let delivered = story.remove_delivery(story.gone, story.second);
            story.insert(story.find_detached(), delivered);
        },
    ),
    ("a byte is altered on the way", Check::Intact, |story| {
        let position = story.find_delivery(story.far, story.first);
        if let Fact::Delivered { hash, .. } = &mut story.history.records[position].fact {
            *hash ^= 1;
        }
    }),
    (
        "an event arrives that nobody published",
        Check::Intact,
        |story| {
            let position = story.find_delivery(story.far, story.first);
            story.insert(
                position,
                Fact::Delivered {
                    attachment: story.far,
                    tag: None,
                    hash: 7,
                    outcome: SinkOutcome::Accepted,
                },
            );
        },
    ),
    ("a node is never live again", Check::Heals, |story| {
        let (last, node, live) = (story.last(), node(1), false);
        story.insert(last, Fact::State { node, live });
        story.insert(last, Fact::FaultEnded);
        story.insert(last, Fact::FaultBegan);
    }),
    (
        "a node is live though it cannot hear the bus",
        Check::Heals,
        |story| {
            let attached = story.find(|fact| matches!(fact, Fact::Attached(_)));
            story.insert(attached, Fact::MustNotBeLive(node(1)));
        },
    ),
    (
        "a quantity grows beyond its bound",
        Check::Bounded,
        |story| {
            let what = "queue of node 0101".to_owned();
            let (value, cap) = (101, 100);
            story.insert(story.last(), Fact::Level { what, value, cap });
        },
    ),
    (
        "more bytes wait to be sent than may",
        Check::Bounded,
        |story| {
            let first = story.first;
            story.alter(|fact| match fact {
                Fact::Publishing { tag, bytes, .. } if *tag == first => *bytes = 1_001,
                _ => {}
            });
        },
    ),
    ("a receipt counts one too many", Check::Truthful, |story| {
        let first = story.first;
        story.alter(|fact| match fact {
            Fact::Published { tag, counts, .. } if *tag == first => counts.accepted += 1,
            _ => {}
        });
    }),
    (
        "a receipt takes full for accepted",
        Check::Truthful,
        |story| {
            let position = story.find_delivery(story.near, story.first);
            if let Fact::Delivered { outcome, .. } = &mut story.history.records[position].fact {
                *outcome = SinkOutcome::Full;
            }
        },
    ),
    ("a gap claims what arrived", Check::NoFalseGap, |story| {
        story.insert(story.find_gap(), story.gap(2, 4));
    }),
    (
        "a gap claims what was never sent",
        Check::NoFalseGap,
        |story| {
            story.insert(story.find_gap(), story.gap(4, 5));
        },
    ),
    (
        "a gap claims what was sent while nothing was wrong",
        Check::NoFalseGap,
        |story| {
            let detached = story.find_detached();
            story.insert(detached, story.gap(40, 40));
            story.insert(detached, story.sent(node(0), 40));
        },
    ),
    (
        "a gap claims what was sent long before anyone was owed it",
        Check::NoFalseGap,
        |story| {
            let started = story.find(|fact| *fact == Fact::Started(node(1)));
            // Of lane 0 everything is a node's own.
            let audience = Audience::from(Target::topic("t").unwrap());
            let lane = |lanes| LaneMap::new(lanes).lane(&Scope::default(), &audience).0;
            let lanes = (2..).find(|lanes| lane(*lanes) > 0).unwrap();
            story.bounds.lanes = lanes;
            let on_its_lane = |mut fact| {
                if let Fact::Sent { lane: of, .. } | Fact::Gap { lane: of, .. } = &mut fact {
                    *of = lane(lanes);
                }
                fact
            };
            // Nothing but the age speaks against the gap: a fault lasts from the start on.
            story.insert(started, on_its_lane(story.sent(node(0), 40)));
            story.insert(started, Fact::FaultBegan);
            let gap = story.find_gap();
            story.insert(gap, on_its_lane(story.gap(40, 40)));
        },
    ),
    (
        "a gap names another time than that of its events",
        Check::NoFalseGap,
        |story| {
            story.alter(|fact| {
                if let Fact::Gap {
                    published: Some((_, until)),
                    ..
                } = fact
                {
                    *until -= Duration::from_millis(1);
                }
            });
        },
    ),
    (
        "a node reports deafness while nothing was wrong",
        Check::NoFalseGap,
        |story| {
            let detached = story.find_detached();
            let until = story.history.records[detached].at;
            story.insert(
                detached,
                Fact::Deaf {
                    node: node(1),
                    origin: None,
                    lane: None,
                    since: until - Duration::from_secs(1),
                    until,
                },
            );
        },
    ),
    (
        "a loss is told where nothing was to be lost",
        Check::Whole,
        |story| story.bounds.whole = Some(Duration::ZERO),
    ),
    (
        "a connection is not told what its node reported",
        Check::Told,
        |story| drop(story.remove(story.find_missed())),
    ),
    (
        "a connection is told before the event is published",
        Check::Told,
        |story| {
            let missed = story.remove(story.find_missed());
            let began = story.find(|fact| *fact == Fact::FaultBegan);
            story.insert(began, missed);
        },
    ),
    (
        "a connection is told of another lane",
        Check::Told,
        |story| {
            story.alter(|fact| {
                if let Fact::Missed { lanes, .. } = fact {
                    *lanes = Some(vec![1]);
                }
            });
        },
    ),
    (
        "a connection is told while nothing was wrong",
        Check::Told,
        |story| {
            let detached = story.find_detached();
            story.insert(detached, story.missed_before(detached));
        },
    ),
    (
        "a connection is told of a time before it was there",
        Check::Told,
        |story| {
            let position = story.find_missed();
            let began = story.history.records[0].at;
            let Fact::Missed { since, until, .. } = &mut story.history.records[position].fact
            else {
                unreachable!("it was found")
            };
            (*since, *until) = (began, began);
        },
    ),
    (
        "a connection is told of more events than were lost",
        Check::Told,
        |story| {
            story.alter(|fact| {
                if let Fact::Missed { events, .. } = fact {
                    *events += 1;
                }
            });
        },
    ),
    (
        "a connection is told after its awaited detach",
        Check::Detached,
        |story| {
            let position = story.find_missed();
            let mut missed = story.history.records[position].fact.clone();
            if let Fact::Missed { attachment, .. } = &mut missed {
                *attachment = story.gone;
            }
            story.insert(position, missed);
        },
    ),
];
