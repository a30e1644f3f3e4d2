//! Nothing waits for a repair but the later events of the same origin on the same lane.

use midplane_core::node::Config;

use crate::history::EventName;
use crate::wire::{Wire, forgetful, ms, secs};

fn lanes(lanes: u32) -> Config {
    Config {
        lanes,
        ..Config::default()
    }
}

/// How long the slowest event of a source took to node 1.
fn slowest(wire: &Wire, from: usize, lane: u32) -> core::time::Duration {
    let events: Vec<EventName> = wire.history.published().map(|(event, _)| event).collect();
    let of_source = events
        .iter()
        .filter(|event| (event.from, event.lane) == (from, lane));
    of_source
        .map(|event| wire.history.took(1, *event))
        .max()
        .unwrap()
}

#[test]
fn a_hole_keeps_no_other_lane_and_no_other_origin_waiting() {
    let mut wire = Wire::new(3, lanes(2));
    wire.flow(secs(2), 20, &[(0, 0), (0, 1), (2, 0), (2, 1)]);
    let begin = wire.now();
    // The hole on lane 1 of node 0 stays open for 0.7 s.
    wire.route(move |frame| {
        let lost = frame.is(0, 1)
            && frame.lane == 1
            && frame.within(begin, begin + ms(700))
            && (40..43).any(|number| frame.has(0, 1, number));
        (!lost).then_some(ms(1))
    });
    wire.flow(secs(6), 20, &[(0, 0), (0, 1), (2, 0), (2, 1)]);
    wire.run(secs(10));
    wire.history.assert_all_whole();
    for (from, lane) in [(0, 0), (2, 0), (2, 1)] {
        let took = slowest(&wire, from, lane);
        assert!(took <= ms(30), "{from}.{lane}: {took:?}");
    }
    assert!(slowest(&wire, 0, 1) > ms(600));
}

#[test]
fn what_waits_for_a_repair_that_never_comes_waits_for_a_bounded_time() {
    for one_way in [ms(1), ms(250), secs(1)] {
        let mut wire = Wire::new(2, lanes(1));
        let far = move |frame: &crate::wire::Passage<'_>| {
            if frame.from == frame.to {
                ms(1)
            } else {
                one_way
            }
        };
        wire.route(move |frame| Some(far(frame)));
        wire.flow(secs(8), 20, &[(0, 0)]);
        wire.route(move |frame| {
            let lost = frame.is(0, 1) && frame.has(0, 0, 160);
            (!lost).then_some(far(frame))
        });
        wire.flow(secs(20), 20, &[(0, 0)]);
        wire.run(secs(10));
        wire.history.assert_accounted(1);
        assert_eq!(wire.history.missing(1).len(), 1);
        assert_eq!(wire.history.lost_numbers(1), 1);
        // What shows with a heartbeat at the latest is asked for four times, and each answer waited for, the last one also by
        // what the origin says of it.
        let behind = EventName {
            from: 0,
            lane: 0,
            number: 161,
        };
        let most = secs(4) + one_way * 17;
        let took = wire.history.took(1, behind);
        assert!(took <= most, "{took:?} of {most:?}");
    }
}

#[test]
fn what_nobody_keeps_is_not_waited_for() {
    let mut wire = Wire::new(2, forgetful(lanes(1)));
    wire.flow(secs(2), 20, &[(0, 0)]);
    wire.route(move |frame| {
        let lost = frame.is(0, 1) && frame.has(0, 0, 40);
        (!lost).then_some(ms(1))
    });
    wire.flow(secs(5), 20, &[(0, 0)]);
    wire.run(secs(10));
    wire.history.assert_accounted(1);
    assert_eq!(wire.history.lost_numbers(1), 1);
    let behind = EventName {
        from: 0,
        lane: 0,
        number: 41,
    };
    let took = wire.history.took(1, behind);
    assert!(took <= ms(300), "{took:?}");
}
