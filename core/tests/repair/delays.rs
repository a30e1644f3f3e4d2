//! Frames may take as long as they like, and each lane its own time: order and numbers hold all the same.

use core::time::Duration;

use midplane_core::node::Config;
use midplane_testkit::Random;

use crate::wire::{Wire, ms, secs};

fn lanes(lanes: u32) -> Config {
    Config {
        lanes,
        ..Config::default()
    }
}

/// One lane of three stands still between two nodes, while the others flow.
fn stands_still(lane: u32, duration: Duration) -> Wire {
    let mut wire = Wire::new(2, lanes(3));
    let flowing = [(0, 0), (0, 1), (0, 2)];
    wire.flow(secs(3), 10, &flowing);
    let (begin, end) = (wire.now(), wire.now() + duration);
    wire.route(move |frame| {
        let still = frame.is(0, 1) && frame.lane == lane && frame.within(begin, end);
        Some(if still { end - frame.at } else { ms(1) })
    });
    wire.flow(duration, 10, &flowing);
    wire
}

#[test]
fn a_lane_that_stands_still_makes_no_loss_on_another() {
    for lane in [0, 1] {
        for duration in [ms(900), ms(2_500), ms(3_000), ms(3_500), secs(9)] {
            let mut wire = stands_still(lane, duration);
            wire.flow(secs(5), 10, &[(0, 0), (0, 1), (0, 2)]);
            wire.run(secs(10));
            wire.history.assert_all_whole();
        }
    }
}

#[test]
fn what_the_bus_brings_twice_is_delivered_once_after_a_lane_stood_still() {
    use std::cell::RefCell;
    use std::rc::Rc;
    for still in [ms(2_500), secs(5), secs(20)] {
        let mut wire = Wire::new(2, lanes(2));
        let (begin, end) = (wire.now(), wire.now() + still);
        let seen: Rc<RefCell<Vec<bytes::Bytes>>> = Rc::default();
        let kept = seen.clone();
        wire.route(move |frame| {
            if frame.is(0, 1) && frame.has_events() {
                kept.borrow_mut().push(frame.frame.clone());
            }
            let stands = frame.is(0, 1) && frame.lane == 0 && frame.within(begin, end);
            Some(if stands { end - frame.at } else { ms(1) })
        });
        // Lane 1 falls quiet while lane 0 stands still, and is brought a second time after both went on.
        wire.flow(still - ms(500), 10, &[(0, 1)]);
        wire.run(secs(2));
        let again = seen.borrow().clone();
        again.iter().for_each(|frame| wire.inject(1, frame));
        wire.flow(secs(2), 10, &[(0, 0), (0, 1)]);
        wire.run(secs(8));
        let again = seen.borrow().clone();
        again.iter().for_each(|frame| wire.inject(1, frame));
        wire.run(secs(2));
        wire.history.assert_all_whole();
    }
}

#[test]
fn delays_of_many_heartbeats_lose_and_repeat_nothing() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let most = [4_000, 9_000, 20_000, 600][seed as usize];
        let mut wire = Wire::new(3, lanes(3));
        let mut steady: Vec<u64> = (0..9).map(|_| random.below(most)).collect();
        // A node's own frames come back: it is the others that are far.
        wire.route(move |frame| {
            let place = frame.to * 3 + frame.lane as usize;
            if random.below(200) == 0 {
                steady[place] = random.below(most);
            }
            let own = frame.from == frame.to;
            Some(ms(if own {
                1
            } else {
                1 + steady[place] + random.below(50)
            }))
        });
        wire.flow(secs(30), 7, &[(0, 0), (1, 1), (2, 2), (0, 2), (1, 0)]);
        wire.run(secs(60));
        wire.history.assert_all_whole();
    }
}

#[test]
fn a_receiver_that_is_far_away_repairs_what_was_lost() {
    for delay in [ms(150), secs(2), secs(4)] {
        let mut wire = Wire::new(3, lanes(2));
        let mut count = 0;
        wire.route(move |frame| {
            let far = frame.from != frame.to && frame.to == 2;
            count += 1;
            let lost = far && frame.has_events() && count % 5 == 0;
            (!lost).then_some(if far { delay } else { ms(1) })
        });
        wire.flow(secs(10), 20, &[(0, 0), (0, 1), (1, 1)]);
        wire.route(move |frame| {
            Some(if frame.to == 2 && frame.from != 2 {
                delay
            } else {
                ms(1)
            })
        });
        wire.run(secs(25));
        wire.history.assert_all_whole();
    }
}

/// Nothing is kept, and the heartbeat that says so overtakes what was sent last.
#[test]
fn what_a_heartbeat_overtakes_is_not_lost_though_it_is_not_kept() {
    for late in [ms(60), ms(400), secs(1)] {
        let mut wire = Wire::new(2, crate::wire::forgetful(lanes(2)));
        wire.route(move |frame| {
            Some(if frame.lane == 1 && frame.is(0, 1) {
                late
            } else {
                ms(1)
            })
        });
        wire.flow(secs(10), 4, &[(0, 1)]);
        wire.run(secs(10));
        wire.history.assert_whole(1);
    }
}
