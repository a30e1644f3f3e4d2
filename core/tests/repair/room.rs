//! More nodes than there is room for, and more names than there are nodes.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use midplane_core::envelope::{FrameWriter, Header, Heartbeat, Message, NodeId};
use midplane_core::node::{Config, News};
use midplane_core::{Question, Reason, Target};

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

/// A heartbeat of a node that there is not, with a name of its own that comes before all true ones.
fn made_up(number: u32) -> Bytes {
    let mut name = [0; 16];
    name[12..].copy_from_slice(&number.to_be_bytes());
    let header = Header {
        stamp: secs(1),
        ..Header::new(NodeId(name), 0, 0)
    };
    let mut writer = FrameWriter::new(header, LIMITS.frame).expect("a header");
    let heartbeat = Message::Heartbeat(Heartbeat::default());
    writer.push(&heartbeat).expect("a message");
    writer.finish()
}

/// A sender makes up a name for each frame, 400 in a second, before a node comes and afterwards.
#[test]
fn made_up_names_do_not_keep_a_newcomer_from_being_heard() {
    let mut wire = Wire::new(2, Config::default());
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
