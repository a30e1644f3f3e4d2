//! Honest numbers and stamps are not taken for forged, and forged ones cost a heartbeat or two.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use midplane_core::Instant;
use midplane_core::bus::{Lane, Limits};
use midplane_core::envelope::{
    Decoded, Frame, FrameWriter, Header, Heard, Heartbeat, LaneProgress, Message, NodeId,
};
use midplane_core::node::{Config, News, Node};

use crate::forger::{forged, forged_echo, forged_pair};
use crate::wire::{LIMITS, Passage, Wire, forgetful, holding, id, ms, secs};

fn lanes(lanes: u32) -> Config {
    Config {
        lanes,
        ..Config::default()
    }
}

/// Frames of lane 0, and heartbeats with them, come later than those of lane 1 by this much.
fn late(by: Duration) -> impl Fn(&Passage<'_>) -> Duration + Copy {
    move |frame| {
        let late = frame.from != frame.to && frame.lane == 0;
        if late { by } else { ms(1) }
    }
}

/// Node 1 loses events on lane 1 that nobody can repair, while lane 0 is late.
fn unrepairable(config: Config, by: Duration) -> Wire {
    let mut wire = Wire::new(2, config);
    let late = late(by);
    wire.route(move |frame| Some(late(frame)));
    wire.flow(secs(12), 20, &[(0, 1)]);
    let begin = wire.now();
    wire.route(move |frame| {
        let lost = frame.is(0, 1) && frame.has_events() && frame.within(begin, begin + ms(1_005));
        (!lost).then_some(late(frame))
    });
    wire.flow(secs(20), 20, &[(0, 1)]);
    wire.run(secs(45));
    wire
}

#[test]
fn numbers_behind_a_loss_that_nobody_repairs_are_honest() {
    for by in [ms(1), ms(900), secs(3), secs(7)] {
        let wire = unrepairable(forgetful(lanes(2)), by);
        wire.history.assert_accounted(1);
        assert_eq!(wire.history.missing(1).len(), 20, "late by {by:?}");
        assert_eq!(wire.history.lost_numbers(1), 20, "late by {by:?}");
        let losses = wire.history.losses(1);
        let deaf = losses
            .iter()
            .filter(|news| matches!(news, News::Deaf { .. }));
        assert_eq!(deaf.count(), 0, "late by {by:?}: {losses:?}");
    }
}

#[test]
fn numbers_behind_a_full_hold_are_honest() {
    for by in [ms(1), secs(3)] {
        let mut wire = Wire::new(2, holding(2_000, lanes(2)));
        let late = late(by);
        wire.route(move |frame| Some(late(frame)));
        wire.flow(secs(12), 20, &[(0, 1)]);
        let begin = wire.now();
        wire.route(move |frame| {
            let lost =
                frame.is(0, 1) && frame.has(0, 1, 240) && frame.within(begin, begin + secs(4));
            (!lost).then_some(late(frame))
        });
        wire.flow(secs(20), 50, &[(0, 1)]);
        wire.run(secs(45));
        wire.history.assert_accounted(1);
        assert!(
            wire.history.missing(1).len() <= 1,
            "{:?}",
            wire.history.missing(1)
        );
    }
}

#[test]
fn numbers_behind_a_long_absence_are_honest() {
    for by in [ms(1), secs(3)] {
        let mut wire = Wire::new(3, lanes(2));
        let late = late(by);
        wire.route(move |frame| Some(late(frame)));
        wire.flow(secs(6), 20, &[(0, 1)]);
        wire.run(secs(8));
        wire.cut(0);
        (0..40).for_each(|_| {
            wire.publish(0, 1);
        });
        wire.run(secs(60));
        wire.link(0);
        wire.flow(secs(10), 20, &[(0, 1)]);
        wire.run(secs(30));
        wire.history.assert_accounted(1);
        wire.history.assert_accounted(2);
        // What expired in the origin's queue did not come; what it published then did.
        assert_eq!(wire.history.missing(1).len(), 40);
    }
}

#[test]
fn numbers_forged_on_a_lane_that_its_origin_never_used_are_forgotten() {
    for count in [1, 40, 3_000] {
        let mut wire = Wire::new(2, lanes(2));
        wire.flow(secs(2), 5, &[(0, 0)]);
        let frames = forged(&wire, 0, Duration::ZERO, count, 1);
        wire.inject(1, frames.last().unwrap());
        wire.flow(secs(8), 5, &[(0, 0)]);
        wire.forget();
        wire.flow(secs(5), 5, &[(0, 0), (0, 1)]);
        wire.run(secs(10));
        assert_eq!(wire.history.missing(1), [], "{count} forged");
        wire.history.assert_in_order(1);
    }
}

/// A frame with a heartbeat that a node made by now.
fn heartbeat(node: NodeId, now: Instant, heartbeat: Heartbeat) -> Bytes {
    let header = Header {
        stamp: now.since_origin(),
        ..Header::new(node, 0, 0)
    };
    let mut writer = FrameWriter::new(header, LIMITS.frame).expect("a header fits");
    let pushed = writer.push(&Message::Heartbeat(heartbeat));
    pushed.expect("a heartbeat fits");
    writer.finish()
}

/// Node 1 gets all that node 0 publishes on lane 1 a little after the forged frame.
fn assert_hides_nothing(mut wire: Wire, forged: &Bytes) {
    wire.inject(1, forged);
    wire.run(secs(6));
    wire.forget();
    wire.flow(secs(2), 5, &[(0, 1)]);
    wire.run(secs(10));
    wire.history.assert_whole(1);
}

/// The frame is too old to be delivered, and says nothing of the numbers that its origin will use.
#[test]
fn an_old_frame_on_a_lane_that_its_origin_never_used_hides_nothing() {
    let mut wire = Wire::new(2, lanes(2));
    wire.publish(0, 0);
    let frames = forged(&wire, 0, Duration::ZERO, 1, 1);
    wire.run(secs(75));
    assert_hides_nothing(wire, frames.last().unwrap());
}

/// Heartbeats list lately used lanes alone after a while, so that they do not deny what is said to be older.
#[test]
fn a_number_forged_as_used_long_ago_on_a_lane_that_its_origin_never_used_hides_nothing() {
    let mut wire = Wire::new(2, lanes(2));
    wire.publish(0, 0);
    wire.run(secs(75));
    let forged = Heartbeat {
        lanes: vec![LaneProgress {
            lane: 1,
            last: 1,
            at: Duration::ZERO,
            keeps: 0,
            gone: Duration::ZERO,
        }],
        ..Heartbeat::default()
    };
    let frame = heartbeat(id(0), wire.clock(0), forged);
    assert_hides_nothing(wire, &frame);
}

#[test]
fn numbers_forged_on_a_lane_in_use_are_forgotten() {
    for count in [30, 3_000] {
        let mut wire = Wire::new(2, lanes(2));
        wire.flow(secs(2), 10, &[(0, 1)]);
        let frames = forged(&wire, 0, Duration::ZERO, count, 1);
        wire.inject(1, frames.last().unwrap());
        wire.flow(secs(8), 10, &[(0, 1)]);
        wire.run(secs(4));
        wire.forget();
        wire.flow(secs(5), 10, &[(0, 1)]);
        wire.run(secs(10));
        assert_eq!(wire.history.missing(1), [], "{count} forged");
        wire.history.assert_in_order(1);
    }
}

#[test]
fn forged_frames_of_one_origin_cost_nothing_of_another() {
    let mut wire = Wire::new(3, lanes(2));
    wire.flow(secs(2), 10, &[(0, 1), (2, 1)]);
    for _ in 0..10 {
        for frame in forged(&wire, 0, ms(100), 20, 1) {
            wire.inject(1, &frame);
        }
        wire.flow(ms(500), 10, &[(0, 1), (2, 1)]);
    }
    wire.run(secs(10));
    let of_the_other = |from| move |event: &&crate::history::EventName| event.from == from;
    assert_eq!(
        wire.history
            .missing(1)
            .iter()
            .filter(of_the_other(2))
            .count(),
        0
    );
    let losses = wire.history.losses(1).into_iter();
    let of_the_third = losses.filter(|news| format!("{news:?}").contains("NodeId([3"));
    assert_eq!(of_the_third.count(), 0);
    wire.history.assert_all_but_whole(1);
}

#[test]
fn frames_that_are_faster_than_ever_before_are_delivered() {
    for slow in [ms(1_500), secs(3), secs(8)] {
        let mut wire = Wire::new(2, lanes(2));
        wire.route(move |frame| Some(if frame.from == frame.to { ms(1) } else { slow }));
        wire.flow(secs(75), 5, &[(0, 0), (0, 1)]);
        // The bus is fast from now on; what is on its way still comes first.
        wire.route(|_| Some(ms(1)));
        wire.flow(secs(30), 5, &[(0, 0), (0, 1)]);
        wire.run(secs(10));
        wire.history.assert_all_whole();
    }
}

#[test]
fn a_burst_behind_a_stall_makes_no_later_frame_impossible() {
    for still in [secs(3), secs(8), secs(20)] {
        let mut wire = Wire::new(3, lanes(2));
        wire.flow(secs(2), 10, &[(0, 0), (0, 1)]);
        for _ in 0..3 {
            let end = wire.now() + still;
            wire.route(move |frame| {
                let stands = frame.is(0, 1) && frame.at < end;
                Some(if stands { end - frame.at } else { ms(1) })
            });
            wire.flow(still, 10, &[(0, 0), (0, 1)]);
            wire.flow(secs(2), 10, &[(0, 0), (0, 1)]);
        }
        wire.run(secs(10));
        wire.history.assert_all_whole();
    }
}

#[test]
fn a_repair_behind_a_stall_is_delivered() {
    let mut wire = Wire::new(2, lanes(2));
    wire.flow(secs(2), 10, &[(0, 1)]);
    let begin = wire.now();
    wire.route(move |frame| {
        let lost = frame.is(0, 1) && frame.has(0, 1, 22) && frame.within(begin, begin + secs(1));
        let stands = frame.is(0, 1) && frame.within(begin + ms(300), begin + secs(6));
        let delay = if stands {
            begin + secs(6) - frame.at
        } else {
            ms(1)
        };
        (!lost).then_some(delay)
    });
    wire.flow(secs(12), 10, &[(0, 1)]);
    wire.run(secs(10));
    wire.history.assert_all_whole();
}

#[test]
fn echoes_of_stamps_that_were_never_sent_are_believed_by_nobody() {
    for ahead in [secs(5), secs(500), secs(50_000)] {
        let mut wire = Wire::new(3, lanes(1));
        wire.flow(secs(10), 10, &[(0, 0), (2, 0)]);
        // A node of the first one's name has heard one of the second's name, by another clock.
        for _ in 0..5 {
            for frame in forged_pair(&wire, 0, 1, ahead) {
                wire.inject(1, &frame);
            }
            wire.run(ms(470));
        }
        wire.run(ms(50));
        wire.forget();
        wire.flow(secs(10), 10, &[(0, 0), (2, 0)]);
        wire.run(secs(20));
        wire.history.assert_whole(1);
        let took = wire
            .history
            .published
            .keys()
            .filter(|event| event.from != 1);
        let took = took
            .map(|event| wire.history.took(1, *event))
            .max()
            .unwrap();
        assert!(took <= secs(3), "{took:?}, ahead by {ahead:?}");
    }
}

#[test]
fn an_echo_with_a_forged_time_mutes_its_origin_for_no_longer_than_it_is_repeated() {
    for before in [secs(3), secs(20)] {
        let mut wire = Wire::new(3, lanes(1));
        wire.flow(secs(10), 10, &[(0, 0), (2, 0)]);
        let heard: Rc<RefCell<Option<Bytes>>> = Rc::default();
        let kept = heard.clone();
        wire.route(move |frame| {
            if frame.is(1, 0) && !frame.has_events() {
                *kept.borrow_mut() = Some(frame.frame.clone());
            }
            Some(ms(1))
        });
        wire.run(secs(3));
        for _ in 0..5 {
            let heard = heard.borrow().clone().unwrap();
            for frame in forged_echo(&wire, 0, &heard, before) {
                wire.inject(1, &frame);
            }
            wire.run(ms(470));
        }
        wire.run(secs(8));
        wire.forget();
        wire.flow(secs(10), 10, &[(0, 0), (2, 0)]);
        wire.run(secs(10));
        assert_eq!(wire.history.missing(1), [], "{before:?}");
        let took = wire
            .history
            .published
            .keys()
            .filter(|event| event.from != 1);
        let took = took
            .map(|event| wire.history.took(1, *event))
            .max()
            .unwrap();
        // A bound of the clock is forgotten after two windows of four heartbeats; the first half of these was waited for.
        assert!(took <= secs(12), "{took:?}");
    }
}

/// Who names a stamp near ours has not heard us.
#[test]
fn stamps_of_the_far_future_in_the_name_of_a_newcomer_do_not_keep_the_newcomer_out() {
    for events in [0, 3] {
        let mut wire = Wire::down(2, lanes(1));
        wire.link(1);
        wire.run(secs(3));
        // Nothing is known of the clock of node 0 yet: whatever stamps come in its name may be true.
        let frames = forged(&wire, 0, secs(1 << 40), events, 0);
        frames.iter().for_each(|frame| wire.inject(1, frame));
        wire.run(ms(10));
        wire.link(0);
        // Two heartbeats later nobody believes them any more.
        wire.flow(secs(8), 5, &[(1, 0)]);
        wire.forget();
        wire.flow(secs(5), 5, &[(0, 0), (1, 0)]);
        wire.run(secs(5));
        wire.history.assert_all_whole();
    }
}

#[test]
fn a_stamp_that_was_never_sent_proves_nobody() {
    let (us, other, limit) = (NodeId([1; 16]), NodeId([2; 16]), 1 << 16);
    let mut node = Node::new(us, Config::default(), Limits::new(limit));
    let mut now = Instant::from_origin(secs(100));
    node.connected(now);
    let sent = node.transmit(now).expect("a heartbeat").frame;
    let Ok(Decoded::Frame(frame)) = Frame::decode(&sent, limit) else {
        panic!("it is a frame");
    };
    let stamp = frame.header().stamp;
    for (claimed, proves) in [(stamp - Duration::from_micros(1), false), (stamp, true)] {
        now += ms(50);
        let echo = Heartbeat {
            heard: vec![Heard {
                node: us,
                stamp: claimed,
                ago: Duration::ZERO,
            }],
            ..Heartbeat::default()
        };
        node.receive(now, Lane(0), &heartbeat(other, now, echo));
        let joined = std::iter::from_fn(|| node.news()).any(|news| news == News::Joined(other));
        assert_eq!(joined, proves, "stamp {claimed:?} for {stamp:?}");
    }
}

/// A frame that is older than the lane is ours says nothing of what numbers are used.
#[test]
fn an_old_frame_with_a_forged_number_hides_nothing_of_a_lane_that_was_just_joined() {
    let mut wire = Wire::down(2, lanes(2));
    wire.link(0);
    wire.link_to(1, &[0]);
    // Long enough that a heartbeat does not list all lanes that were ever used.
    wire.publish(0, 0);
    wire.run(secs(35));
    let forged = forged(&wire, 0, Duration::ZERO, 300, 1);
    wire.run(secs(10));
    wire.subscribe(1, 1);
    wire.run(ms(100));
    wire.inject(1, forged.last().unwrap());
    wire.run(secs(6));
    wire.forget();
    wire.flow(secs(2), 5, &[(0, 1)]);
    wire.run(secs(10));
    wire.history.assert_whole(1);
}
