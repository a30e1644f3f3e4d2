//! More nodes than there is room for, and more names than there are nodes.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use midplane_core::envelope::{FrameWriter, Header, Heartbeat, LaneProgress, Message, NodeId};
use midplane_core::node::{Config, News};
use midplane_core::{Event, Question, Reason, Scope, Target};

use crate::wire::{LIMITS, Wire, ms, secs};

/// What node 0 learns of a question: whether the answers may be all.
fn answers_are_all(wire: &mut Wire) -> bool {
    let topic = Target::topic("t").expect("a topic");
    wire.ask(0, &Question::Count(topic.into()));
    wire.run(secs(2));
    let told = wire.told(0).iter().rev();
    let mut answered = told.filter_map(|news| match news {
        News::Answered { live, .. } => Some(*live),
        _ => None,
    });
    answered.next().expect("the question is closed")
}

#[test]
fn what_nodes_publish_beyond_the_room_for_peers_is_told() {
    for (peers, full) in [(4, true), (5, false)] {
        let config = Config {
            peers,
            ..Config::default()
        };
        let mut wire = Wire::new(6, config);
        let sources: Vec<_> = (0..6).map(|node| (node, 0)).collect();
        wire.flow(secs(10), 5, &sources);
        wire.run(secs(8));
        let reason = Reason::Full { room: 4 };
        for node in 0..6 {
            wire.history.assert_accounted(node);
            assert_eq!(wire.reasons(node).contains(&reason), full, "{node}");
            assert_eq!(wire.history.missing(node).is_empty(), !full, "{node}");
            // Once a heartbeat at most, while the others publish.
            assert!(wire.history.losses(node).len() <= 8, "{node}");
        }
        assert_eq!(answers_are_all(&mut wire), !full);
    }
}

/// Nodes that were there first have room for each other, and name the last one all the same.
#[test]
fn a_node_for_which_no_other_has_room_takes_what_they_publish() {
    let config = Config {
        peers: 4,
        ..Config::default()
    };
    let mut wire = Wire::new(5, config);
    let last = wire.add();
    wire.link(last);
    wire.run(secs(6));
    wire.forget();
    let sources: Vec<_> = (0..6).map(|node| (node, 0)).collect();
    wire.flow(secs(4), 5, &sources);
    wire.run(secs(8));
    let from = wire.history.got(last).iter().map(|got| got.event.from);
    assert_eq!(from.collect::<BTreeSet<_>>().len(), 4);
    for node in 0..6 {
        wire.history.assert_accounted(node);
    }
}

/// The second of two nodes too many is taken when the first is gone.
#[test]
fn room_that_a_node_leaves_is_taken_by_another() {
    let config = Config {
        peers: 2,
        ..Config::default()
    };
    let mut wire = Wire::new(4, config);
    wire.flow(secs(4), 5, &[(0, 0), (1, 0), (2, 0), (3, 0)]);
    wire.run(secs(4));
    assert!((0..4).all(|node| !wire.history.missing(node).is_empty()));
    wire.kill(3);
    // Three are left, for each of which there is room once the fourth is not heard for long.
    wire.run(secs(90));
    wire.forget();
    wire.flow(secs(4), 5, &[(0, 0), (1, 0), (2, 0)]);
    wire.run(secs(8));
    for node in 0..3 {
        wire.history.assert_whole(node);
        assert_eq!(wire.reasons(node), []);
    }
}

#[test]
fn what_a_silent_node_sent_last_is_told_when_it_gives_way() {
    let config = Config {
        peers: 2,
        ..Config::default()
    };
    let mut wire = Wire::new(3, config);
    wire.route(|frame| (!frame.is(2, 0) || !frame.has_events()).then_some(ms(1)));
    wire.publish(2, 0);
    wire.run(ms(50));
    wire.kill(2);
    // It is no member any more, and its loss is not certain yet.
    wire.run(secs(24));
    assert!(wire.history.losses(0).is_empty());
    let newcomer = wire.add();
    wire.link(newcomer);
    wire.run(secs(3));
    assert_eq!(wire.history.missing(0).len(), 1);
    wire.history.assert_accounted(0);
}

/// The members that each node knows.
fn members(wire: &Wire) -> Vec<Vec<usize>> {
    let nodes = wire.nodes();
    let members = |node| {
        let others = (0..nodes).filter(move |other| wire.knows(node, *other));
        others.collect()
    };
    (0..nodes).map(members).collect()
}

/// Every node has room for half of the others.
#[test]
fn places_do_not_change_hands_where_every_table_is_too_small() {
    const NODES: usize = 9;
    let config = Config {
        peers: 4,
        ..Config::default()
    };
    let mut wire = Wire::new(NODES, config);
    wire.run(secs(4));
    let before = members(&wire);
    assert!(before.iter().all(|members| members.len() == 4));
    // Longer than anybody waits for a word of another.
    wire.run(secs(70));
    assert_eq!(members(&wire), before);
    for node in 0..NODES {
        assert_eq!(wire.reasons(node), [Reason::Full { room: 4 }]);
        assert_eq!(wire.history.losses(node), [] as [&News; 0]);
    }
    let sources: Vec<_> = (0..NODES).map(|node| (node, 0)).collect();
    for _ in 0..5 {
        wire.forget();
        wire.flow(ms(500), 2, &sources);
        wire.run(secs(4));
        assert_eq!(members(&wire), before);
        for (node, members) in before.iter().enumerate() {
            wire.history.assert_accounted(node);
            let missing = wire.history.missing(node);
            assert!(!missing.is_empty());
            // What a member publishes comes, whether it has room for this node or not.
            assert!(missing.iter().all(|event| !members.contains(&event.from)));
        }
    }
}

/// A name of its own, one of those that come before all true ones.
fn name(number: u32) -> NodeId {
    let mut name = [0; 16];
    name[12..].copy_from_slice(&number.to_be_bytes());
    NodeId(name)
}

/// A heartbeat of a node that there is not.
fn made_up(number: u32) -> Bytes {
    made_up_at(number, secs(1))
}

fn made_up_at(number: u32, stamp: Duration) -> Bytes {
    beat_of(number, stamp, Heartbeat::default())
}

fn beat_of(number: u32, stamp: Duration, heartbeat: Heartbeat) -> Bytes {
    let header = Header {
        stamp,
        ..Header::new(name(number), 0, 0)
    };
    let mut writer = FrameWriter::new(header, LIMITS.frame).expect("a header");
    let heartbeat = Message::Heartbeat(heartbeat);
    writer.push(&heartbeat).expect("a message");
    writer.finish()
}

/// Two nodes that know each other, with room for no other.
fn pair() -> Wire {
    let config = Config {
        peers: 1,
        ..Config::default()
    };
    Wire::new(2, config)
}

/// An event of a node that there is not.
fn made_up_event(wire: &Wire, number: u32) -> Bytes {
    let header = Header {
        stamp: secs(1),
        ..Header::new(name(number), 0, 1)
    };
    let mut writer = FrameWriter::new(header, LIMITS.frame).expect("a header");
    let event = Message::Publish {
        scope: Scope::default(),
        audience: wire.topic(0).clone(),
        event: Event::text("made up"),
    };
    writer.push(&event).expect("a message");
    writer.finish()
}

/// Whether a node told that something may be missing that was published now, and forgets what was told.
fn is_told(wire: &mut Wire, node: usize) -> bool {
    let now = wire.clock(node);
    wire.run(secs(2) + ms(50));
    let covers = |news: &&News| matches!(news, News::Deaf { since, until, .. } if (*since..=*until).contains(&now));
    let told = wire.history.losses(node).iter().any(covers);
    wire.forget();
    told
}

/// Nothing proves a node yet, and others come meanwhile.
#[test]
fn what_a_newcomer_published_is_told_when_it_gives_way() {
    let config = Config {
        peers: 2,
        ..Config::default()
    };
    let mut wire = Wire::new(2, config);
    let event = made_up_event(&wire, 0);
    wire.inject(0, &event);
    assert!(!is_told(&mut wire, 0));
    wire.inject(0, &event);
    // There is room for 64 newcomers.
    for (names, told) in [(1..40, false), (40..80, true)] {
        for number in names {
            wire.inject(0, &made_up(number));
        }
        assert_eq!(is_told(&mut wire, 0), told);
    }
    assert_eq!(wire.peers(0), 1 + 64);
}

#[test]
fn an_event_of_a_node_beyond_the_room_is_told_once() {
    let mut wire = pair();
    let event = made_up_event(&wire, 0);
    for _ in 0..2 {
        wire.inject(0, &event);
        assert!(is_told(&mut wire, 0));
        // It goes on to speak.
        for beat in 2..6 {
            wire.inject(0, &made_up_at(0, secs(beat)));
            assert!(!is_told(&mut wire, 0));
        }
    }
}

/// The frame with the event is lost.
#[test]
fn a_heartbeat_tells_what_a_node_beyond_the_room_published() {
    let mut wire = pair();
    wire.inject(0, &made_up(0));
    assert!(!is_told(&mut wire, 0));
    for (number, published) in [(1, secs(2)), (2, secs(9))] {
        let used = LaneProgress {
            lane: 0,
            last: number,
            at: published,
            keeps: number,
            gone: Duration::ZERO,
        };
        // It says so in each.
        for (beat, told) in [(0, true), (1, false)] {
            let heartbeat = Heartbeat {
                lanes: vec![
                    used,
                    LaneProgress {
                        lane: 7,
                        at: secs(99),
                        ..used
                    },
                ],
                ..Heartbeat::default()
            };
            wire.inject(0, &beat_of(0, published + secs(beat * 2), heartbeat));
            assert_eq!(is_told(&mut wire, 0), told, "{published:?}");
        }
    }
}

/// The frames of one member do not come here from the start on, and another names it, before names that speak twice take its
/// room.
#[test]
fn what_may_have_come_of_a_node_that_members_name_is_told_when_it_gives_way() {
    let config = Config {
        peers: 2,
        ..Config::default()
    };
    let mut wire = Wire::down(3, config);
    wire.route(|frame| (!frame.is(2, 0)).then_some(ms(1)));
    (0..3).for_each(|node| wire.link(node));
    wire.run(secs(6));
    assert!(wire.knows(0, 1) && !wire.knows(0, 2));
    wire.forget();
    assert!(!is_told(&mut wire, 0));
    for number in 0..64 {
        wire.inject(0, &made_up(number));
        wire.inject(0, &made_up_at(number, secs(2)));
    }
    assert!(is_told(&mut wire, 0));
}

/// A member that is not heard for a while keeps what is known of it, whatever names are made up.
#[test]
fn made_up_names_take_no_place_of_a_node_that_is_gone() {
    let mut wire = pair();
    wire.kill(1);
    wire.run(secs(24));
    wire.forget();
    for number in 0..200 {
        wire.inject(0, &made_up(number));
        wire.inject(0, &made_up_at(number, secs(2)));
    }
    wire.run(secs(4));
    assert_eq!(wire.history.losses(0), [] as [&News; 0]);
    // Until the time to live is over.
    wire.run(secs(6));
    assert_eq!(wire.history.losses(0).len(), 1);
}

/// A sender makes up a name for each frame, 400 in a second, before a node comes and afterwards.
#[test]
fn made_up_names_do_not_keep_a_newcomer_from_being_heard() {
    let config = Config {
        peers: 1_024,
        ..Config::default()
    };
    let mut wire = Wire::new(2, config);
    let (mut number, beats) = (0, Rc::new(Cell::new(0)));
    let counted = beats.clone();
    wire.route(move |frame| {
        let beat = frame.is(0, 0) && !frame.has_events();
        counted.set(counted.get() + u32::from(beat));
        Some(ms(1))
    });
    let mut flood = |wire: &mut Wire, duration: u64| {
        for _ in 0..duration * 10 {
            for _ in 0..40 {
                let frame = made_up(number);
                (0..wire.nodes()).for_each(|node| wire.inject(node, &frame));
                number += 1;
            }
            wire.run(ms(100));
        }
    };
    flood(&mut wire, 5);
    let newcomer = wire.add();
    wire.link(newcomer);
    flood(&mut wire, 8);
    wire.forget();
    for _ in 0..20 {
        for node in 0..3 {
            wire.publish(node, 0);
        }
        wire.run(ms(10));
    }
    flood(&mut wire, 3);
    assert!(wire.is_live(newcomer));
    wire.history.assert_all_whole();
    // As many heartbeats as that time has, and a few that answer.
    assert!(beats.get() <= 4 * 8, "{} heartbeats in 16 s", beats.get());
}
