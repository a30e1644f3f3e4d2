//! Nodes that sign beside nodes that do not, keys that are replaced, and frames on the wrong lane.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use midplane_core::AgreedSettings;
use midplane_core::bus::{Keys, Lane, Signing};
use midplane_core::envelope::{FrameWriter, Header, Introduction, Message, NodeId};
use midplane_core::node::{Config, News};

use crate::wire::{LIMITS, Wire, id, ms, secs};

pub(crate) const PREFIX: &str = "midplane";

/// Keys of these ids, each with a secret of its own. The first signs.
pub(crate) fn keys(ids: &[u8]) -> Keys {
    let secrets: Vec<(u8, [u8; 32])> = ids.iter().map(|id| (*id, [*id; 32])).collect();
    Keys::new(secrets.iter().map(|(id, secret)| (*id, &secret[..]))).expect("keys")
}

pub(crate) fn requires(ids: &[u8]) -> Option<Signing> {
    Some(Signing::require(keys(ids)))
}

pub(crate) fn signs(ids: &[u8]) -> Option<Signing> {
    Some(Signing::sign(keys(ids)))
}

/// One node for each of these, live if it can be, with all news taken.
pub(crate) fn nodes(signing: &[Option<Signing>]) -> Wire {
    let mut wire = Wire::down(signing.len(), Config::default());
    for (node, signing) in signing.iter().enumerate() {
        if let Some(signing) = signing {
            wire.sign(node, signing, PREFIX);
        }
        wire.link(node);
    }
    wire.run(secs(6));
    wire.forget();
    wire
}

/// Each node publishes; gives how many events came to each, and that nothing is said to be missing.
fn heard(wire: &mut Wire) -> Vec<usize> {
    let count = wire.nodes();
    let sources: Vec<_> = (0..count).map(|node| (node, 0)).collect();
    wire.flow(secs(5), 2, &sources);
    wire.run(secs(40));
    let got = (0..count).map(|node| {
        wire.history.assert_in_order(node);
        assert!(wire.history.losses(node).is_empty(), "node {node}");
        wire.history.got(node).len()
    });
    got.collect()
}

#[test]
fn sign_then_require_mixed() {
    // Each step of the roll-out, with one node ahead of the others: everything comes, at every node.
    for steps in [
        [None, None, signs(&[1])],
        [None, signs(&[1]), signs(&[1])],
        [signs(&[1]), signs(&[1]), requires(&[1])],
        [signs(&[1]), requires(&[1]), requires(&[1])],
    ] {
        let mut wire = nodes(&steps);
        assert_eq!(heard(&mut wire), [20; 3], "{steps:?}");
        for node in 0..3 {
            let counters = wire.counters(node);
            assert_eq!((counters.wrong_tags, counters.malformed), (0, 0));
        }
    }
    // One that skipped a step is heard by nobody who requires signatures, and who does not hear it is not heard by it.
    let mut wire = nodes(&[None, requires(&[1]), requires(&[1])]);
    assert_eq!(heard(&mut wire), [0, 10, 10]);
    assert!(wire.counters(1).unsigned > 10);
    assert_eq!(wire.counters(0).unsigned, 0, "it does not look");
}

#[test]
fn two_keys_rotate() {
    // Added everywhere, moved to the front everywhere, removed everywhere: with one node ahead all is heard.
    let steps = [
        requires(&[1]),
        requires(&[1, 2]),
        requires(&[2, 1]),
        requires(&[2]),
    ];
    for step in steps.windows(2) {
        let mut wire = nodes(&[step[0].clone(), step[0].clone(), step[1].clone()]);
        assert_eq!(heard(&mut wire), [20; 3], "{step:?}");
        assert_eq!(wire.counters(0).unknown_keys, 0);
    }
    // A step too many: what one signs the other does not know.
    let mut wire = nodes(&[requires(&[1]), requires(&[2])]);
    assert_eq!(heard(&mut wire), [0, 0]);
    assert!((0..2).all(|node| wire.counters(node).unknown_keys > 10));
    // While signatures are not required, it costs nothing.
    let mut wire = nodes(&[signs(&[1]), signs(&[2])]);
    assert_eq!(heard(&mut wire), [10, 10]);
    assert!((0..2).all(|node| wire.counters(node).unknown_keys > 10));
}

/// What is kept to be sent again is signed as it was.
#[test]
fn what_is_signed_is_repaired() {
    let mut wire = nodes(&[requires(&[1]), requires(&[1])]);
    let (mut sent, mut seen) = (0, BTreeSet::new());
    // Every third frame with events is lost, and comes when it is sent again.
    wire.route(move |frame| {
        let passes = frame.from == frame.to || !frame.has_events();
        if passes || !seen.insert(frame.frame.clone()) {
            return Some(ms(1));
        }
        sent += 1;
        (sent % 3 > 0).then_some(ms(1))
    });
    wire.flow(secs(5), 10, &[(0, 0), (1, 0)]);
    wire.run(secs(10));
    wire.history.assert_all_whole();
    assert!(wire.counters(0).repairs > 5);
    assert_eq!(wire.counters(1).wrong_tags, 0);
}

#[test]
fn a_frame_that_came_on_another_lane_is_dropped() {
    let lanes = 2;
    let config = Config {
        lanes,
        ..Config::default()
    };
    let mut wire = Wire::new(2, config);
    let frames: Rc<RefCell<Vec<Bytes>>> = Rc::default();
    let kept = frames.clone();
    // Node 1 has yet to get it.
    wire.route(move |frame| {
        let lost = frame.is(0, 1) && frame.has_events();
        if lost {
            kept.borrow_mut().push(frame.frame.clone());
        }
        (!lost).then_some(ms(1))
    });
    wire.publish(0, 1);
    wire.run(ms(50));
    let frame = frames.borrow()[0].clone();
    wire.inject_on(1, Lane(0), &frame);
    assert_eq!(wire.counters(1).misplaced, 1);
    assert_eq!(wire.history.got(1).len(), 0);
    wire.inject_on(1, Lane(1), &frame);
    assert_eq!(wire.history.got(1).len(), 1);
}

/// A frame without a signature that introduces this node.
fn introducing(origin: NodeId) -> Bytes {
    let config = Config::default();
    let introduction = Introduction::new(AgreedSettings {
        lanes: config.lanes,
        heartbeat: config.heartbeat,
        time_to_live: config.time_to_live,
        json_lane: false,
        signing: None,
    });
    let mut writer = FrameWriter::new(Header::new(origin, 0, 0), LIMITS.frame).expect("a header");
    writer
        .push(&Message::Introduction(introduction))
        .expect("a message");
    writer.finish()
}

/// As many names as a forger makes up, and that of a member, who is accused of nothing.
#[test]
fn of_unsigned_frames_few_names_are_told_and_no_member_is_accused() {
    let mut wire = nodes(&[requires(&[1]), requires(&[1])]);
    for number in 0..390_u16 {
        let mut name = [0x66; 16];
        name[..2].copy_from_slice(&number.to_le_bytes());
        for origin in [id(0), NodeId(name)] {
            wire.inject(1, &introducing(origin));
            wire.run(ms(25));
        }
    }
    let told: Vec<NodeId> = wire
        .told(1)
        .iter()
        .filter_map(|news| match news {
            News::Differs(difference) => Some(difference.node),
            _ => None,
        })
        .collect();
    assert!(
        (1..=16).contains(&told.len()) && !told.contains(&id(0)),
        "{told:?}"
    );
    assert_eq!(wire.counters(1).unsigned, 780);
    wire.flow(secs(2), 5, &[(0, 0), (1, 0)]);
    wire.run(secs(40));
    wire.history.assert_all_whole();
}
