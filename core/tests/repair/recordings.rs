//! What was recorded on a bus of signed frames is worth nothing when it is sent again.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use midplane_core::bus::{Lane, Signing};
use midplane_core::node::News;
use midplane_core::{Question, Target};

use crate::signed::{PREFIX, keys, nodes, requires};
use crate::wire::{Wire, id, lane_of, ms, secs};

/// Everything that node 0 sends from now on.
fn record(wire: &mut Wire) -> Rc<RefCell<Vec<Bytes>>> {
    let frames: Rc<RefCell<Vec<Bytes>>> = Rc::default();
    let kept = frames.clone();
    wire.route(move |frame| {
        if frame.is(0, 1) {
            kept.borrow_mut().push(frame.frame.clone());
        }
        Some(ms(1))
    });
    frames
}

/// Two nodes that require signatures, and what the first sent since it has had a link.
fn recorded() -> (Wire, Rc<RefCell<Vec<Bytes>>>) {
    let mut wire = nodes(&[requires(&[1]), requires(&[1])]);
    let frames = record(&mut wire);
    wire.flow(secs(3), 5, &[(0, 0), (1, 0)]);
    let topic = Target::topic("t").expect("a topic");
    wire.ask(0, &Question::Disconnect(topic.into()));
    wire.run(secs(1));
    (wire, frames)
}

fn newcomer(wire: &mut Wire) -> usize {
    let newcomer = wire.add();
    wire.sign(newcomer, &requires(&[1]).expect("signing"), PREFIX);
    wire.link(newcomer);
    newcomer
}

/// Sends all of it again, to an old member and to a new one, at once and a second apart.
fn replay(wire: &mut Wire, frames: &[Bytes], newcomer: usize) {
    for _ in 0..5 {
        for frame in frames {
            for to in [1, newcomer] {
                wire.inject(to, frame);
            }
        }
        wire.run(secs(1));
    }
}

/// Nobody got anything of node 0, or took it for alive.
fn assert_worthless(wire: &Wire, node: usize, when: &str) {
    wire.history.assert_in_order(node);
    let of_it = wire
        .history
        .got(node)
        .iter()
        .filter(|got| got.event.from == 0);
    assert_eq!(of_it.count(), 0, "node {node}, {when}");
    let told = wire.told(node).iter().any(|news| match news {
        News::Joined(node) | News::Left(node) | News::Silent(node) => *node == id(0),
        News::Asked { .. } | News::Down => true,
        _ => false,
    });
    assert!(!told, "node {node}, {when}: {:?}", wire.told(node));
}

#[test]
fn recordings_prove_nothing() {
    for (gone, leaves) in [
        (secs(2), true),
        (secs(70), true),
        (secs(70), false),
        (secs(600), false),
    ] {
        let when = format!("{gone:?} after it was gone, leaves: {leaves}");
        let (mut wire, frames) = recorded();
        if leaves {
            wire.leave(0);
            wire.run(secs(2));
        }
        wire.kill(0);
        wire.run(gone);
        let frames = frames.borrow().clone();
        assert!(frames.len() > 15, "{}", frames.len());
        wire.forget();
        let newcomer = newcomer(&mut wire);
        replay(&mut wire, &frames, newcomer);
        wire.flow(secs(60), 1, &[(1, 0)]);
        wire.run(secs(10));
        for node in [1, newcomer] {
            assert_worthless(&wire, node, &when);
            let losses = wire.history.losses(node);
            // Each names to the other what it heard, so both hold that it died since, and say so once.
            let vouched = |loss: &&News| matches!(loss, News::Deaf { origin: Some(origin), .. } if *origin == id(0));
            let most = usize::from(gone > secs(30));
            assert!(
                losses.len() <= most && losses.iter().all(vouched),
                "{when}: {losses:?}"
            );
            assert!(wire.history.missing(node).is_empty(), "{when}");
        }
    }
}

#[test]
fn recordings_of_a_node_that_lives_prove_nothing() {
    for wait in [2, 40, 600] {
        let (mut wire, frames) = recorded();
        let recorded = frames.borrow().clone();
        wire.run(secs(wait));
        wire.forget();
        let newcomer = newcomer(&mut wire);
        replay(&mut wire, &recorded, newcomer);
        // It is heard as before.
        wire.run(secs(10));
        assert_eq!(wire.history.got(newcomer).len(), 0, "{wait} s");
        let asked = |news: &News| matches!(news, News::Asked { .. });
        assert!(!wire.told(newcomer).iter().any(asked), "{wait} s");
        wire.flow(secs(10), 5, &[(0, 0), (1, 0), (newcomer, 0)]);
        replay(&mut wire, &recorded, newcomer);
        wire.run(secs(40));
        wire.history.assert_all_whole();
    }
}

#[test]
fn recordings_are_worth_nothing_on_another_lane_or_prefix() {
    let (mut wire, frames) = recorded();
    let recorded = frames.borrow().clone();
    wire.forget();
    for frame in &recorded {
        let Lane(lane) = lane_of(frame);
        wire.inject_on(1, Lane(lane + 1), frame);
    }
    let count = recorded.len() as u64;
    assert_eq!(wire.counters(1).misplaced, count);
    // Nodes of another service have the keys and the server in common with these, and the prefix not.
    let mut other = Wire::down(2, wire.config);
    for node in 0..2 {
        let signing = Signing::require(keys(&[1]));
        other.sign(node, &signing, "midplane2");
        other.link(node);
    }
    other.run(secs(6));
    other.forget();
    recorded.iter().for_each(|frame| other.inject(1, frame));
    other.flow(secs(5), 5, &[(0, 0), (1, 0)]);
    other.run(secs(40));
    other.history.assert_all_whole();
    assert_eq!(other.counters(1).wrong_tags, count);
}
