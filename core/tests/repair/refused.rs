//! A frame that the bus does not take costs its own events, and nothing that was sent before.

use std::sync::atomic::Ordering::SeqCst;

use midplane_core::node::{Config, News, Run};
use midplane_core::{Backplane, FlushError, State};

use crate::history::EventName;
use crate::wire::{Wire, id, ms, secs};
use crate::world::{World, numbered};

/// The largest frame of the bus in these tests, in bytes.
const LARGEST: usize = 2_000;

/// The numbers that a node was told will not come, each run of an origin on a lane.
fn gaps(wire: &Wire, node: usize) -> Vec<(usize, u32, u64, u64)> {
    let losses = wire.history.losses(node).into_iter();
    let gaps = losses.map(|news| match news {
        News::Gap {
            origin, lane, run, ..
        } => {
            let from = (0..wire.nodes()).find(|node| id(*node) == *origin);
            let Run { first, last } = *run;
            (from.unwrap(), lane.0, first, last)
        }
        other => panic!("{other:?}"),
    });
    gaps.collect()
}

#[test]
fn what_was_sent_before_a_frame_that_the_bus_does_not_take_is_repaired() {
    let mut wire = Wire::new(3, Config::default());
    wire.largest = LARGEST;
    let begin = wire.now();
    // Nothing that node 0 publishes comes to node 1 for half a second.
    wire.route(move |frame| {
        let missed = frame.is(0, 1) && frame.has_events() && frame.within(begin, begin + ms(500));
        (!missed).then_some(ms(1))
    });
    for _ in 0..5 {
        wire.publish(0, 0);
        wire.run(ms(20));
    }
    let large = wire.publish_sized(0, 0, LARGEST);
    wire.run(ms(20));
    for _ in 0..3 {
        wire.publish(0, 0);
        wire.run(ms(20));
    }
    wire.run(secs(10));
    assert_eq!(wire.refused, 1);
    for node in [1, 2] {
        assert_eq!(wire.history.missing(node), [large]);
        wire.history.assert_accounted(node);
        assert_eq!(gaps(&wire, node), [(0, 0, 6, 6)]);
    }
    assert_eq!(wire.counters(1).unknown_kinds, 0);
}

/// A frame with many events is sent in parts, down to the events that the bus does not take.
#[test]
fn of_a_frame_that_the_bus_does_not_take_the_events_that_it_takes_come() {
    let mut wire = Wire::new(2, Config::default());
    wire.largest = LARGEST;
    let mut large = Vec::new();
    for number in 0..60 {
        match number {
            7 | 8 | 40 => large.push(wire.publish_sized(0, 0, LARGEST)),
            _ => drop(wire.publish_sized(0, 0, 100)),
        }
    }
    wire.run(secs(4));
    assert_eq!(wire.refused, 3);
    assert_eq!(wire.history.missing(1), large);
    assert_eq!(gaps(&wire, 1), [(0, 0, 8, 8), (0, 0, 9, 9), (0, 0, 41, 41)]);
    wire.history.assert_accounted(1);
    assert_eq!(wire.counters(1).asks, 0);
}

/// The server takes less than it did when the frame was sent first.
#[test]
fn what_is_sent_again_to_a_bus_that_takes_less_is_sent_in_parts() {
    let mut wire = Wire::new(3, Config::default());
    let begin = wire.now();
    wire.route(move |frame| {
        let missed = frame.is(0, 1) && frame.has_events() && frame.within(begin, begin + ms(50));
        (!missed).then_some(ms(1))
    });
    for _ in 0..60 {
        wire.publish_sized(0, 0, 100);
    }
    let large: EventName = wire.publish_sized(0, 0, LARGEST);
    wire.run(ms(50));
    wire.largest = LARGEST;
    wire.run(secs(4));
    wire.history.assert_whole(2);
    assert_eq!(wire.history.missing(1), [large]);
    assert_eq!(gaps(&wire, 1), [(0, 0, 61, 61)]);
    assert_eq!(wire.history.got(1).len(), 60);
}

#[test]
fn the_parts_of_a_frame_are_repaired_as_any_frame() {
    let mut wire = Wire::new(3, Config::default());
    wire.largest = LARGEST;
    let begin = wire.now();
    wire.route(move |frame| {
        let missed = frame.is(0, 1) && frame.lane == 0 && frame.within(begin, begin + ms(50));
        (!missed).then_some(ms(1))
    });
    for _ in 0..60 {
        wire.publish_sized(0, 0, 100);
    }
    let large = wire.publish_sized(0, 0, LARGEST);
    wire.run(ms(50));
    wire.publish(0, 0);
    wire.run(secs(4));
    for node in [1, 2] {
        assert_eq!(wire.history.missing(node), [large]);
        assert_eq!(gaps(&wire, node), [(0, 0, 61, 61)]);
        wire.history.assert_accounted(node);
    }
    assert_eq!(wire.counters(0).repaired, 61);
}

#[test]
fn a_newcomer_is_told_nothing_of_what_was_refused_before_it_came() {
    let mut wire = Wire::new(2, Config::default());
    wire.largest = LARGEST;
    wire.publish(0, 0);
    wire.publish_sized(0, 0, LARGEST);
    wire.publish(0, 0);
    wire.run(secs(1));
    let newcomer = wire.add();
    wire.link(newcomer);
    wire.run(secs(2));
    wire.publish(0, 0);
    wire.run(secs(4));
    assert_eq!(gaps(&wire, newcomer), []);
    assert_eq!(gaps(&wire, 1), [(0, 0, 2, 2)]);
    wire.history.assert_accounted(newcomer);
}

/// Where the bus takes nothing at all.
#[test]
fn what_stands_for_an_event_and_is_not_taken_either_is_given_up() {
    let mut wire = Wire::new(2, Config::default());
    let before = wire.publish(0, 0);
    wire.run(ms(50));
    wire.largest = 0;
    wire.publish(0, 0);
    wire.run(ms(10));
    assert_eq!(wire.refused, 1);
    wire.largest = usize::MAX;
    let behind = wire.publish(0, 0);
    wire.run(secs(6));
    let got: Vec<EventName> = wire.history.got(1).iter().map(|got| got.event).collect();
    assert_eq!(got, [before, behind]);
    assert_eq!(gaps(&wire, 1), [(0, 0, 2, 2)]);
}

/// The whole way: the batch, the flush, and the clients of the others.
#[test]
fn a_client_gets_all_but_the_event_that_the_bus_does_not_take() {
    let (world, members) = World::live(70, 3, Config::default());
    let clients = [1, 2].map(|node| members[node].client(&world, "c", &["t"]));
    world.run(secs(1));
    members[0].door.largest.store(LARGEST, SeqCst);
    let texts = numbered(40);
    for (number, text) in texts.iter().enumerate() {
        if number == 20 {
            members[0].publish("t", "x".repeat(LARGEST));
        }
        members[0].publish("t", text.as_str());
    }
    let plane = members[0].plane.clone();
    let (flushed, _) = world.complete(async move { plane.flush().await });
    assert!(
        matches!(flushed, Err(FlushError::Lost { count: 1 })),
        "{flushed:?}"
    );
    world.run(secs(4));
    for client in clients {
        let mut expected = texts.clone();
        expected.insert(20, String::from("missed"));
        assert_eq!(client.words(), expected);
        let missed = client.missed();
        assert_eq!((missed[0].events, missed[0].exact), (1, true));
    }
    assert_eq!(members[0].plane.state(), State::Live);
}
