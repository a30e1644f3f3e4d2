//! A hole stays open until what fills it had the time to come, and is asked for no more often than that.

use std::time::Duration;

use midplane_core::node::Config;

use crate::history::EventName;
use crate::wire::{Passage, Wire, ms, secs};

fn lanes(lanes: u32) -> Config {
    Config {
        lanes,
        ..Config::default()
    }
}

/// The passages of an event to a node that are lost: so many, the first ones.
fn first_of(event: EventName, to: usize, count: u32) -> impl FnMut(&Passage<'_>) -> bool {
    let mut left = count;
    move |frame| {
        let passes = frame.is(event.from, to) && frame.has(event.from, event.lane, event.number);
        let lost = passes && left > 0;
        left -= u32::from(lost);
        lost
    }
}

fn event(from: usize, lane: u32, number: u64) -> EventName {
    EventName { from, lane, number }
}

#[test]
fn a_repair_is_waited_for_as_long_as_a_round_trip_takes() {
    for (one_way, lost) in [
        (ms(500), 1),
        (secs(2), 1),
        (secs(3), 1),
        (ms(500), 2),
        (secs(2), 2),
    ] {
        let mut wire = Wire::new(3, lanes(2));
        // Both ways, between node 2 and all others.
        let far = move |frame: &Passage<'_>| {
            let far = frame.from != frame.to && (frame.to == 2 || frame.from == 2);
            if far { one_way } else { ms(1) }
        };
        wire.route(move |frame| Some(far(frame)));
        wire.flow(secs(12), 20, &[(0, 1)]);
        let mut lost = first_of(event(0, 1, 250), 2, lost);
        wire.route(move |frame| (!lost(frame)).then_some(far(frame)));
        wire.flow(secs(20), 20, &[(0, 1)]);
        wire.run(secs(10));
        wire.history.assert_all_whole();
    }
}

#[test]
fn a_lane_that_stands_still_while_it_is_repaired_gives_nothing_up() {
    for still in [ms(1_500), secs(4), secs(8), secs(15)] {
        for repair_is_sent in [ms(5), ms(105), ms(125), ms(145), ms(600)] {
            let mut wire = Wire::new(2, lanes(2));
            wire.flow(secs(2), 20, &[(0, 1)]);
            let begin = wire.now() + repair_is_sent;
            let mut lost = first_of(event(0, 1, 40), 1, 1);
            // Heartbeats go on, on lane 0: the ask is confirmed, and the repair stands with the rest of its lane.
            wire.route(move |frame| {
                let stands =
                    frame.is(0, 1) && frame.lane == 1 && frame.within(begin, begin + still);
                let delay = if stands {
                    begin + still - frame.at
                } else {
                    ms(1)
                };
                (!lost(frame)).then_some(delay)
            });
            wire.flow(still + secs(3), 20, &[(0, 1)]);
            wire.run(secs(8));
            wire.history.assert_all_whole();
        }
    }
}

#[test]
fn an_origin_whose_link_was_away_when_it_was_asked_is_asked_again_at_once() {
    for away in [300, 700, 1_500, 2_600, 5_000, 15_300, 22_000].map(ms) {
        for busy in [true, false] {
            let mut wire = Wire::new(3, lanes(1));
            wire.flow(secs(2), 10, &[(0, 0)]);
            let missed = event(0, 0, 20);
            let mut lost = first_of(missed, 1, 1);
            wire.route(move |frame| (!lost(frame)).then_some(ms(1)));
            wire.publish(0, 0);
            wire.run(ms(10));
            wire.publish(0, 0);
            wire.run(ms(10));
            wire.cut(0);
            wire.run(away);
            wire.link(0);
            if busy {
                wire.flow(secs(4), 10, &[(0, 0)]);
            }
            wire.run(secs(15));
            wire.history.assert_all_whole();
            // The origin is live an eighth of a heartbeat after it is back.
            let took = wire.history.took(1, missed) - away;
            assert!(took <= ms(500), "{took:?} after the origin was back");
        }
    }
}

#[test]
fn an_ask_that_follows_a_repair_for_another_is_answered() {
    for lost_to_the_second in [2, 3, 4] {
        let mut wire = Wire::new(4, lanes(1));
        wire.flow(secs(2), 20, &[(0, 0)]);
        let missed = event(0, 0, 40);
        let mut one = first_of(missed, 1, 1);
        // The repair that the first asked for does not reach the second either.
        let mut two = first_of(missed, 2, lost_to_the_second);
        wire.route(move |frame| (!(one(frame) | two(frame))).then_some(ms(1)));
        wire.flow(secs(8), 20, &[(0, 0)]);
        wire.run(secs(8));
        wire.history.assert_all_whole();
        let took = wire.history.took(2, missed);
        assert!(took <= ms(500) * lost_to_the_second, "{took:?}");
    }
}

#[test]
fn what_was_lost_a_moment_ago_is_repaired_at_once() {
    let mut took: Vec<Duration> = Vec::new();
    for number in 40..60 {
        let mut wire = Wire::new(2, lanes(1));
        wire.flow(secs(2), 20, &[(0, 0)]);
        let missed = event(0, 0, number);
        let mut lost = first_of(missed, 1, 1);
        wire.route(move |frame| (!lost(frame)).then_some(ms(1)));
        wire.flow(secs(3), 20, &[(0, 0)]);
        wire.run(secs(5));
        wire.history.assert_all_whole();
        took.push(wire.history.took(1, missed));
    }
    // Behind the next frame, 50 ms later, an ask after a jitter of at most 75 ms, and its answer.
    let most = took.iter().max().unwrap();
    assert!(*most <= ms(200), "{took:?}");
}

#[test]
fn what_comes_from_afar_is_asked_for_once() {
    let mut wire = Wire::new(3, lanes(1));
    let one_way = secs(2);
    let far = move |frame: &Passage<'_>| {
        let far = frame.from != frame.to && (frame.to == 2 || frame.from == 2);
        if far { one_way } else { ms(1) }
    };
    wire.route(move |frame| Some(far(frame)));
    wire.flow(secs(12), 10, &[(0, 0)]);
    let before = wire.frames;
    let begin = wire.now();
    wire.route(move |frame| {
        let lost = frame.is(0, 2)
            && frame.within(begin, begin + secs(5))
            && (0..10).any(|tenth| frame.has(0, 0, 120 + tenth * 5));
        (!lost).then_some(far(frame))
    });
    wire.flow(secs(20), 10, &[(0, 0)]);
    wire.run(secs(15));
    wire.history.assert_all_whole();
    // 200 events of a frame each, of which ten were lost.
    let repairs = wire.frames - before - 200;
    assert!(repairs <= 20, "{repairs} repairs of 10 frames");
}

#[test]
fn a_long_repair_of_one_lane_starves_no_short_one_of_another() {
    let mut wire = Wire::new(8, lanes(4));
    wire.flow(secs(1), 10, &[(0, 0), (0, 3)]);
    let begin = wire.now();
    wire.route(move |frame| {
        let lost = frame.is(0, 1) && frame.has_events() && frame.within(begin, begin + ms(500));
        (!lost).then_some(ms(1))
    });
    for _ in 0..100 {
        wire.publish_sized(0, 0, 60_000);
    }
    let short = wire.publish(0, 3);
    wire.run(ms(500));
    wire.flow(secs(8), 10, &[(0, 0), (0, 3)]);
    wire.run(secs(10));
    wire.history.assert_all_whole();
    let took = wire.history.took(1, short);
    assert!(took <= ms(1_500), "{took:?}");
}

#[test]
fn one_repair_serves_all_who_missed_the_same() {
    let mut wire = Wire::new(10, lanes(1));
    wire.flow(secs(2), 20, &[(0, 0)]);
    let before = wire.frames;
    let begin = wire.now();
    wire.route(move |frame| {
        let lost = frame.from == 0
            && frame.to != 0
            && frame.has_events()
            && frame.within(begin, begin + ms(500));
        (!lost).then_some(ms(1))
    });
    wire.flow(secs(5), 20, &[(0, 0)]);
    wire.run(secs(8));
    wire.history.assert_all_whole();
    let repairs = wire.frames - before - 100;
    assert!(
        repairs <= 20,
        "{repairs} repairs of 10 frames for nine nodes"
    );
}

#[test]
fn what_is_lost_four_times_over_a_long_way_is_asked_for_again() {
    for one_way in [ms(1), ms(400), secs(1)] {
        let mut wire = Wire::new(2, lanes(1));
        let far = move |frame: &Passage<'_>| {
            if frame.from == frame.to {
                ms(1)
            } else {
                one_way
            }
        };
        wire.route(move |frame| Some(far(frame)));
        wire.flow(secs(8), 20, &[(0, 0)]);
        let mut lost = 0;
        wire.route(move |frame| {
            let loses = frame.is(0, 1) && frame.has(0, 0, 160) && lost < 4;
            lost += u32::from(loses);
            (!loses).then_some(far(frame))
        });
        wire.flow(secs(20), 20, &[(0, 0)]);
        wire.run(secs(10));
        wire.history.assert_whole(1);
    }
}
