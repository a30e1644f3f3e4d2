//! What was published before a lane was a node's own is neither delivered to it nor missed by it.

use std::time::Duration;

use midplane_core::node::{Config, News};

use crate::wire::{Wire, forgetful, ms, secs};

fn lanes(lanes: u32) -> Config {
    Config {
        lanes,
        ..Config::default()
    }
}

/// What a frame takes, and the time until nodes look at it.
const TRIP: Duration = Duration::from_millis(50);

/// Nothing that was published before the node came is delivered or told, and everything since then came.
fn assert_joined_whole(wire: &Wire, node: usize, trip: Duration) {
    wire.history.assert_whole(node);
    wire.history.assert_nothing_old(node, trip);
}

#[test]
fn a_lane_that_is_joined_takes_nothing_from_the_repair_of_another() {
    for away in [secs(2), secs(6), secs(20)] {
        let mut wire = Wire::down(2, lanes(3));
        wire.link(0);
        wire.link_to(1, &[0, 1]);
        wire.run(secs(6));
        wire.flow(secs(2), 10, &[(0, 1), (0, 2)]);
        wire.cut(1);
        wire.flow(away, 10, &[(0, 1), (0, 2)]);
        // Both lanes have a hole from now on: of lane 1 all is ours, of lane 2 what comes from now on.
        wire.link_to(1, &[2]);
        wire.flow(secs(5), 10, &[(0, 1), (0, 2)]);
        wire.run(secs(10));
        assert_joined_whole(&wire, 1, TRIP);
    }
}

#[test]
fn one_ask_for_a_known_lane_and_one_that_was_just_joined_cuts_nothing_of_the_known() {
    let mut wire = Wire::down(2, lanes(3));
    wire.link(0);
    wire.link_to(1, &[0, 1]);
    wire.run(secs(6));
    wire.flow(secs(1), 10, &[(0, 1)]);
    let (known, begin) = (10, wire.now());
    // Of lane 1, an event before lane 2 is joined is lost; of lane 2, the first one behind that, and its repairs.
    wire.route(move |frame| {
        let one = frame.lane == 1 && frame.has(0, 1, known) && frame.within(begin, begin + ms(500));
        let two = frame.lane == 2 && frame.has(0, 2, 0) && frame.within(begin, begin + ms(2_000));
        (!(frame.is(0, 1) && (one || two))).then_some(ms(1))
    });
    wire.publish(0, 1);
    wire.run(ms(300));
    wire.subscribe(1, 2);
    wire.run(ms(300));
    // Both show at once, and go into one ask.
    wire.publish(0, 2);
    wire.run(ms(10));
    wire.publish(0, 1);
    wire.publish(0, 2);
    wire.flow(secs(5), 10, &[(0, 1), (0, 2)]);
    wire.run(secs(10));
    wire.history.assert_accounted(1);
    let missing = wire.history.missing(1);
    assert!(missing.iter().all(|event| event.lane == 2), "{missing:?}");
}

#[test]
fn a_repair_for_another_is_the_first_that_comes_to_a_newcomer() {
    for heartbeats_late in [ms(1), secs(1), secs(3)] {
        let mut wire = Wire::new(2, lanes(2));
        wire.flow(secs(2), 10, &[(0, 1)]);
        let begin = wire.now();
        // Node 1 misses a second's events, and they are repaired when the newcomer is there.
        wire.route(move |frame| {
            let missed =
                frame.is(0, 1) && frame.has_events() && frame.within(begin, begin + secs(4));
            let heartbeat = frame.is(0, 2) && !frame.has_events();
            (!missed).then_some(if heartbeat { heartbeats_late } else { ms(1) })
        });
        wire.flow(secs(4), 10, &[(0, 1)]);
        let newcomer = wire.add();
        wire.link(newcomer);
        wire.flow(secs(10), 10, &[(0, 1)]);
        wire.run(secs(10));
        assert_joined_whole(&wire, newcomer, TRIP + heartbeats_late);
        wire.history.assert_whole(1);
    }
}

#[test]
fn one_old_frame_that_is_repaired_for_another_leaves_a_newcomer_a_newcomer() {
    for repaired_after in [ms(500), ms(650), ms(800)] {
        let mut wire = Wire::new(2, lanes(2));
        wire.flow(secs(2), 20, &[(0, 1)]);
        let begin = wire.now();
        // Node 1 misses one event until the newcomer is there, to whom it comes as the first frame of all.
        wire.route(move |frame| {
            let missed = frame.has(0, 1, 40) && frame.within(begin, begin + repaired_after);
            let only_old = frame.is(0, 2)
                && frame.has_events()
                && !frame.has(0, 1, 40)
                && frame.within(begin, begin + secs(1));
            (!((frame.is(0, 1) && missed) || only_old)).then_some(ms(1))
        });
        wire.flow(ms(450), 20, &[(0, 1)]);
        let newcomer = wire.add();
        wire.link(newcomer);
        wire.flow(secs(8), 20, &[(0, 1)]);
        wire.run(secs(10));
        assert_joined_whole(&wire, newcomer, TRIP);
        wire.history.assert_whole(1);
    }
}

#[test]
fn a_frame_of_a_lane_that_stood_still_is_the_first_that_comes_to_a_newcomer() {
    for still in [secs(2), secs(6), secs(12)] {
        let mut wire = Wire::new(1, lanes(2));
        wire.flow(secs(2), 10, &[(0, 1)]);
        let newcomer = wire.add();
        wire.link(newcomer);
        let begin = wire.now();
        // Lane 0 brings no heartbeat for a while; of lane 1 all comes late, then all comes.
        wire.route(move |frame| {
            let stands = frame.is(0, 1) && frame.within(begin, begin + still);
            let end = if frame.lane == 0 {
                still + secs(1)
            } else {
                still
            };
            Some(if stands {
                begin + end - frame.at
            } else {
                ms(1)
            })
        });
        wire.flow(secs(20), 10, &[(0, 1)]);
        wire.run(secs(10));
        assert_joined_whole(&wire, newcomer, TRIP + still + secs(1));
    }
}

#[test]
fn a_newcomer_is_told_nothing_of_what_expired_before_it_came() {
    for quiet in [secs(1), secs(29), secs(31), secs(200)] {
        let mut wire = Wire::new(2, lanes(2)).with_step(ms(50));
        wire.flow(secs(5), 20, &[(0, 1), (0, 0)]);
        wire.run(quiet);
        let newcomer = wire.add();
        wire.link(newcomer);
        wire.flow(secs(6), 3, &[(0, 1), (0, 0)]);
        wire.run(secs(40));
        wire.flow(secs(6), 3, &[(0, 1), (0, 0)]);
        wire.run(secs(10));
        assert_joined_whole(&wire, newcomer, TRIP);
    }
}

#[test]
fn a_newcomer_among_those_who_repair_nothing_is_told_of_its_own_losses_alone() {
    for offset in 0..8 {
        let mut wire = Wire::new(2, forgetful(lanes(2)));
        wire.flow(secs(4), 20, &[(0, 1), (0, 0)]);
        wire.run(ms(250 * offset));
        let newcomer = wire.add();
        wire.link(newcomer);
        let begin = wire.now();
        wire.route(move |frame| {
            let lost = frame.is(0, 2)
                && frame.has_events()
                && frame.within(begin + ms(300), begin + ms(700));
            (!lost).then_some(ms(1))
        });
        wire.flow(secs(6), 20, &[(0, 1), (0, 0)]);
        wire.run(secs(40));
        wire.history.assert_accounted(newcomer);
        wire.history.assert_nothing_told_of_before(newcomer, TRIP);
        wire.history.assert_nothing_old(newcomer, TRIP);
        let missing = wire.history.missing(newcomer).len() as u64;
        assert!((1..=16).contains(&missing), "{missing}");
    }
}

#[test]
fn a_newcomer_loses_nothing_of_its_first_second() {
    // Behind 35 s of events the first of them are not kept any more.
    for before in [
        0, 250, 500, 750, 1_000, 1_250, 1_500, 35_000, 35_700, 36_400,
    ] {
        let mut wire = Wire::new(3, lanes(2));
        wire.flow(ms(2_000 + before), 20, &[(0, 1), (1, 0)]);
        let newcomer = wire.add();
        wire.link(newcomer);
        let begin = wire.now();
        let mut count = 0;
        wire.route(move |frame| {
            let near = frame.to == 3 && frame.has_events() && frame.within(begin, begin + secs(1));
            count += u32::from(near);
            (!near || count % 3 == 0).then_some(ms(1))
        });
        wire.flow(secs(6), 20, &[(0, 1), (1, 0)]);
        wire.run(secs(10));
        assert_joined_whole(&wire, newcomer, TRIP);
    }
}

#[test]
fn an_origin_that_came_while_we_were_away_is_heard_from_its_first_event_on() {
    for away in [secs(1), secs(5), secs(20)] {
        let mut wire = Wire::new(2, lanes(2));
        wire.cut(1);
        let newborn = wire.add();
        wire.link(newborn);
        wire.flow(away, 20, &[(newborn, 0), (newborn, 1)]);
        wire.link(1);
        wire.flow(secs(5), 20, &[(newborn, 0), (newborn, 1)]);
        wire.run(secs(15));
        wire.history.assert_all_whole();
    }
}

#[test]
fn a_lane_that_is_joined_during_a_loss_of_another_makes_no_deafness() {
    let mut wire = Wire::down(2, lanes(4));
    wire.link(0);
    wire.link_to(1, &[0, 1]);
    wire.run(secs(6));
    let begin = wire.now();
    wire.route(move |frame| {
        let lost = frame.is(0, 1) && frame.has_events() && frame.within(begin, begin + secs(3));
        (!lost).then_some(ms(1))
    });
    wire.flow(secs(1), 20, &[(0, 1), (0, 2), (0, 3)]);
    wire.subscribe(1, 2);
    wire.flow(secs(1), 20, &[(0, 1), (0, 2), (0, 3)]);
    wire.subscribe(1, 3);
    wire.flow(secs(6), 20, &[(0, 1), (0, 2), (0, 3)]);
    wire.run(secs(10));
    assert_joined_whole(&wire, 1, TRIP);
    let losses = wire.history.losses(1).into_iter();
    assert_eq!(
        losses
            .filter(|news| matches!(news, News::Deaf { .. }))
            .count(),
        0
    );
}

/// A leap that is shorter than a round trip contradicts nothing that was heard before.
#[test]
fn a_lane_that_is_joined_after_our_clock_leapt_brings_all_from_then_on() {
    let far = |frame: &crate::wire::Passage<'_>| {
        if frame.from == frame.to {
            ms(1)
        } else {
            ms(400)
        }
    };
    let mut wire = Wire::down(2, lanes(2));
    wire.route(move |frame| Some(far(frame)));
    wire.link(0);
    wire.link_to(1, &[0]);
    wire.run(secs(12));
    wire.forget();
    wire.history.heard[1].ahead += ms(700);
    wire.subscribe(1, 1);
    let begin = wire.now();
    // What is published at once shows with the next heartbeat.
    wire.route(move |frame| {
        let lost = frame.is(0, 1) && frame.lane == 1 && frame.within(begin, begin + ms(600));
        (!lost).then_some(far(frame))
    });
    wire.flow(ms(500), 20, &[(0, 1)]);
    wire.run(secs(10));
    assert_eq!(wire.history.missing(1), []);
    wire.history.assert_in_order(1);
}

#[test]
fn an_origin_that_was_away_when_a_newcomer_came_is_no_newborn() {
    let mut wire = Wire::new(2, lanes(1)).with_step(ms(50));
    wire.flow(secs(2), 10, &[(0, 0)]);
    wire.run(secs(16));
    wire.cut(0);
    wire.run(secs(2));
    let newcomer = wire.add();
    wire.link(newcomer);
    wire.run(secs(13));
    // What it sent first is not kept any more, and listed still.
    wire.link(0);
    wire.flow(secs(2), 10, &[(0, 0)]);
    wire.run(secs(10));
    assert_joined_whole(&wire, newcomer, TRIP);
}

/// Who asks all nodes for an answer, and gets those of all members it knows, has asked every node that was live by then.
#[test]
fn a_live_node_is_known_to_every_other_live_one() {
    for before in [1, 30, 125, 250, 260, 1_000, 1_990] {
        for (later, trip) in (0..260).step_by(20).zip([1, 20].into_iter().cycle()) {
            let mut wire = Wire::down(4, Config::default()).with_step(ms(1));
            wire.route(move |_| Some(ms(trip)));
            wire.link(0);
            wire.run(ms(before));
            (1..3).for_each(|node| wire.link(node));
            wire.run(ms(later));
            wire.link(3);
            for _ in 0..3_000 {
                wire.run(ms(1));
                let live: Vec<usize> = (0..4).filter(|node| wire.is_live(*node)).collect();
                for node in &live {
                    let mut others = live.iter().filter(|other| *other != node);
                    let known = others.all(|other| wire.knows(*node, *other));
                    assert!(known, "{before} {later} {trip}: {node} of {live:?}");
                }
            }
            assert!((0..4).all(|node| wire.is_live(node)));
        }
    }
}

/// A node whose clock stands makes no heartbeats, and what it publishes goes out all the same.
#[test]
fn an_origin_that_dies_and_made_no_heartbeat_since_we_came_is_told() {
    let mut wire = Wire::new(2, lanes(2));
    // Its heartbeats come to itself alone.
    wire.route(|frame| {
        let speechless = frame.from == 0 && frame.to != 0 && !frame.has_events();
        (!speechless).then_some(ms(1))
    });
    wire.run(secs(6));
    let newcomer = wire.add();
    wire.link(newcomer);
    wire.run(secs(1));
    wire.publish(0, 1);
    wire.run(secs(1));
    wire.kill(0);
    wire.run(secs(60));
    assert_eq!(wire.history.missing(newcomer).len(), 1);
    wire.history.assert_accounted(newcomer);
}
