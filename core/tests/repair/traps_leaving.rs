//! An origin that is gone leaves nothing open: what came is delivered, and what did not is told.

use midplane_core::node::{Config, News};

use crate::wire::{Wire, id, ms, secs};

fn lanes(lanes: u32) -> Config {
    Config {
        lanes,
        ..Config::default()
    }
}

#[test]
fn an_origin_that_dies_with_a_hole_open_is_settled() {
    let holes = [(20..22, 6), (20..26, 0), (24..26, 0), (20..21, 1)];
    let cases = holes
        .into_iter()
        .flat_map(|(lost, behind)| [ms(0), secs(3)].map(|lives| (lost.clone(), behind, lives)));
    for (lost, behind, lives) in cases {
        let mut wire = Wire::new(3, lanes(1));
        wire.flow(secs(2), 10, &[(0, 0)]);
        let end = lost.end;
        let (one, count) = (lost.clone(), lost.clone().count());
        wire.route(move |frame| {
            let missed = frame.is(0, 1) && one.clone().any(|number| frame.has(0, 0, number));
            (!missed).then_some(ms(1))
        });
        // A frame each, up to the last of the lost and some behind it; the last may be the lost ones.
        for _ in 20..end + behind {
            wire.publish(0, 0);
            wire.run(ms(10));
        }
        // Long enough for a heartbeat to report what was lost, or not.
        wire.run(lives);
        wire.kill(0);
        wire.run(secs(60));
        // What came behind the hole may have grown too old to be delivered before the origin was given up.
        let missing = wire.history.missing(1).len();
        assert!(
            (count..=count + behind as usize).contains(&missing),
            "{missing}"
        );
        wire.history.assert_accounted(1);
        wire.history.assert_in_order(2);
        assert_eq!(wire.history.missing(2), []);
    }
}

#[test]
fn an_origin_that_dies_before_its_first_heartbeat_is_told() {
    for heard in [true, false] {
        let mut wire = Wire::new(2, lanes(1));
        let newborn = wire.add();
        // Node 1 gets none of its heartbeats, and all of its events or none of them; node 0 gets all.
        wire.route(move |frame| {
            let deaf = frame.is(2, 1) && (!frame.has_events() || !heard);
            (!deaf).then_some(ms(1))
        });
        wire.link(newborn);
        wire.flow(secs(8), 5, &[(newborn, 0)]);
        wire.kill(newborn);
        wire.run(secs(90));
        wire.history.assert_accounted(1);
        assert_eq!(wire.history.missing(0), []);
    }
}

#[test]
fn a_silent_origin_is_told_once_and_not_before_its_events_could_have_been_repaired() {
    let mut wire = Wire::new(3, lanes(1));
    wire.flow(secs(2), 10, &[(0, 0)]);
    wire.kill(0);
    let died = wire.now();
    while wire.history.losses(1).is_empty() && wire.now() < died + secs(100) {
        wire.run(ms(100));
    }
    let told = wire.now() - died;
    assert!((secs(25)..=secs(40)).contains(&told), "{told:?}");
    wire.run(secs(100));
    for node in [1, 2] {
        let losses = wire.history.losses(node);
        assert_eq!(losses.len(), 1, "{losses:?}");
        assert!(matches!(losses[0], News::Deaf { .. }));
    }
}

#[test]
fn an_origin_that_is_away_for_less_than_the_time_to_live_is_told_to_nobody() {
    for away in [secs(5), secs(15), secs(25)] {
        let mut wire = Wire::new(3, lanes(2));
        wire.flow(secs(2), 10, &[(0, 0), (0, 1)]);
        wire.cut(0);
        wire.flow(away, 10, &[(0, 0), (0, 1)]);
        wire.link(0);
        wire.flow(secs(3), 10, &[(0, 0), (0, 1)]);
        wire.run(secs(20));
        wire.history.assert_all_whole();
    }
}

#[test]
fn the_tail_of_an_origin_that_left_is_told_though_our_link_was_cut_meanwhile() {
    for cut_after in [ms(10), ms(500), ms(1_500), secs(3)] {
        for away in [ms(500), secs(6), secs(20)] {
            let mut wire = Wire::new(3, lanes(2));
            wire.flow(secs(2), 10, &[(0, 0), (0, 1)]);
            let begin = wire.now();
            wire.route(move |frame| {
                let missed = frame.is(0, 1) && frame.has_events() && frame.at >= begin;
                (!missed).then_some(ms(1))
            });
            for _ in 0..3 {
                wire.publish(0, 0);
                wire.publish(0, 1);
                wire.run(ms(10));
            }
            wire.leave(0);
            wire.run(cut_after);
            wire.cut(1);
            wire.run(ms(600));
            wire.kill(0);
            wire.run(away);
            wire.link(1);
            wire.run(secs(60));
            wire.history.assert_accounted(1);
            assert_eq!(wire.history.missing(1).len(), 6);
            assert_eq!(wire.history.missing(2), []);
        }
    }
}

#[test]
fn an_origin_that_left_while_we_were_away_is_told_if_we_missed_something_of_it() {
    for missed in [true, false] {
        let mut wire = Wire::new(3, lanes(2));
        wire.flow(secs(2), 10, &[(0, 0), (0, 1)]);
        wire.run(ms(50));
        wire.cut(1);
        if missed {
            wire.flow(secs(2), 10, &[(0, 0), (0, 1)]);
        }
        wire.leave(0);
        wire.run(ms(500));
        wire.kill(0);
        wire.run(secs(2));
        wire.link(1);
        wire.run(secs(60));
        wire.history.assert_accounted(1);
        if !missed {
            assert_eq!(
                wire.history.losses(1).len(),
                0,
                "{:?}",
                wire.history.losses(1)
            );
        }
    }
}

#[test]
fn a_goodbye_that_overtakes_the_last_frames_loses_nothing() {
    for late in [ms(200), secs(1), secs(3)] {
        let mut wire = Wire::new(3, lanes(2));
        wire.route(move |frame| {
            Some(if frame.is(0, 1) && frame.lane == 1 {
                late
            } else {
                ms(1)
            })
        });
        wire.flow(secs(5), 10, &[(0, 0), (0, 1)]);
        wire.publish_many(0, 1, 10);
        wire.run(ms(10));
        wire.leave(0);
        wire.run(ms(600));
        wire.kill(0);
        wire.run(secs(60));
        wire.history.assert_whole(1);
        wire.history.assert_whole(2);
    }
}

#[test]
fn an_origin_that_leaves_repairs_its_last_events_first() {
    let mut wire = Wire::new(3, lanes(1));
    wire.flow(secs(2), 10, &[(0, 0)]);
    let begin = wire.now();
    wire.route(move |frame| {
        let missed = frame.is(0, 1) && frame.has_events() && frame.within(begin, begin + ms(50));
        (!missed).then_some(ms(1))
    });
    wire.publish_many(0, 0, 3);
    wire.run(ms(10));
    wire.leave(0);
    wire.run(secs(30));
    wire.history.assert_whole(1);
    wire.history.assert_whole(2);
}

#[test]
fn an_origin_that_leaves_before_we_knew_that_it_lives_is_told() {
    let mut wire = Wire::new(2, lanes(2));
    let newborn = wire.add();
    // Nothing of node 1 comes to it, and so it cannot say that it knows node 1.
    wire.route(move |frame| {
        let unheard = frame.is(1, newborn) || (frame.is(newborn, 1) && frame.has_events());
        (!unheard).then_some(ms(1))
    });
    wire.link(newborn);
    wire.flow(secs(3), 5, &[(newborn, 1)]);
    wire.leave(newborn);
    wire.run(secs(1));
    wire.kill(newborn);
    wire.run(secs(20));
    wire.history.assert_accounted(1);
    assert_eq!(wire.history.missing(0), []);
    assert_eq!(wire.history.losses(1).len(), 1);
}

#[test]
fn what_an_origin_sent_behind_its_last_heartbeat_is_told_to_one_that_came_before_that() {
    for offset in 0..8 {
        let mut wire = Wire::new(2, lanes(1));
        wire.run(ms(250 * offset));
        let newcomer = wire.add();
        // Its connections are there before its link is.
        wire.subscribe(newcomer, 0);
        wire.publish(0, 0);
        wire.run(ms(30));
        wire.kill(0);
        wire.run(secs(8));
        wire.link(newcomer);
        wire.run(secs(60));
        wire.history.assert_accounted(newcomer);
    }
}

#[test]
fn who_died_while_we_were_away_is_told_though_a_link_between_was_short() {
    let mut wire = Wire::new(2, lanes(1));
    wire.cut(1);
    let newborn = wire.add();
    wire.link(newborn);
    wire.run(ms(500));
    wire.publish(newborn, 0);
    wire.run(ms(50));
    wire.kill(newborn);
    wire.run(secs(20));
    // Nobody has the time to name the dead.
    wire.route(|frame| (!frame.is(0, 1)).then_some(ms(1)));
    wire.link(1);
    wire.run(secs(1));
    assert!(wire.is_live(1));
    wire.cut(1);
    wire.route(|_| Some(ms(1)));
    wire.run(secs(30));
    wire.link(1);
    wire.run(secs(60));
    assert_eq!(wire.history.missing(1).len(), 1);
    wire.history.assert_accounted(1);
}

#[test]
fn a_lane_on_which_a_dead_origin_answers_nothing_ends_no_link() {
    let mut wire = Wire::new(3, lanes(2));
    wire.route(|frame| (!(frame.is(0, 1) && frame.lane == 1)).then_some(ms(1)));
    wire.publish(0, 1);
    wire.run(secs(4));
    wire.kill(0);
    wire.run(secs(40));
    let told = wire.history.heard[1].told.iter();
    assert_eq!(told.filter(|news| matches!(news, News::Down)).count(), 0);
    wire.history.assert_accounted(1);
}

#[test]
fn an_origin_that_others_hear_is_told_again() {
    let mut wire = Wire::new(3, lanes(1));
    wire.publish(0, 0);
    wire.run(secs(1));
    // From now on nothing of it comes to node 1.
    wire.route(|frame| (!frame.is(0, 1)).then_some(ms(1)));
    wire.run(secs(45));
    assert_eq!(wire.history.losses(1).len(), 1);
    wire.publish(0, 0);
    wire.run(secs(1));
    wire.kill(0);
    wire.run(secs(60));
    assert_eq!(wire.history.missing(2), []);
    wire.history.assert_accounted(1);
    assert_eq!(wire.history.losses(1).len(), 2);
}

/// What an origin published long before it left is in no list of its lanes.
#[test]
fn an_origin_that_left_while_our_machine_was_suspended_is_told() {
    for (published, left) in [(0, 40), (0, 58), (30, 58), (58, 59)] {
        let mut wire = Wire::new(3, lanes(2));
        let suspended = wire.clock(2);
        wire.suspend(2, |wire| {
            wire.run(secs(published));
            wire.publish(0, 1);
            wire.run(secs(left - published));
            wire.leave(0);
            wire.run(secs(1));
            wire.kill(0);
            // Of one that is new it is known at once that its frames are young.
            let newcomer = wire.add();
            wire.link(newcomer);
            wire.run(secs(60 - left));
        });
        let woken = wire.clock(2);
        wire.link(2);
        wire.run(secs(80));
        assert_eq!(wire.history.missing(2).len(), 1);
        let losses = wire.history.losses(2).into_iter();
        let mut of_it = losses.filter_map(|news| match news {
            News::Gap {
                origin,
                since,
                until,
                ..
            } => (*origin == id(0)).then_some((*since, *until)),
            News::Deaf {
                origin,
                lane,
                since,
                until,
            } => {
                let covers = lane.is_none_or(|lane| lane.0 == 1);
                (*origin == Some(id(0)) && covers).then_some((*since, *until))
            }
            _ => None,
        });
        let told = of_it.any(|(since, until)| since <= suspended && until >= woken);
        assert!(
            told,
            "published {published}, left {left}: {:?}",
            wire.history.losses(2)
        );
    }
}

fn publish_on_all(wire: &mut Wire, node: usize) {
    for lane in 0..wire.config.lanes {
        wire.publish(node, lane);
    }
}

#[test]
fn an_origin_whose_goodbye_does_not_fit_a_frame_is_told_to_who_was_away() {
    let config = lanes(40);
    let mut wire = Wire::new(3, config);
    wire.limit_frames(0, 1_000);
    publish_on_all(&mut wire, 0);
    wire.run(secs(3));
    wire.cut(1);
    publish_on_all(&mut wire, 0);
    wire.run(secs(1));
    wire.leave(0);
    wire.run(secs(1));
    wire.kill(0);
    wire.link(1);
    wire.run(secs(60));
    assert_eq!(wire.history.missing(1).len(), config.lanes as usize);
    wire.history.assert_accounted(1);
}

#[test]
fn who_left_is_named_to_who_was_away_though_all_do_not_fit_a_frame() {
    let config = lanes(10);
    let mut wire = Wire::new(12, config);
    wire.limit_frames(0, 1_000);
    for node in 2..12 {
        publish_on_all(&mut wire, node);
    }
    wire.run(secs(3));
    wire.cut(1);
    (2..12).for_each(|node| wire.leave(node));
    wire.run(secs(1));
    (2..12).for_each(|node| wire.kill(node));
    wire.link(1);
    wire.run(secs(90));
    assert_eq!(wire.history.losses(1), Vec::<&News>::new());
    wire.history.assert_whole(1);
}

#[test]
fn a_goodbye_is_the_last_that_a_node_says() {
    let mut wire = Wire::new(3, lanes(1));
    // A member that falls silent makes the others speak more than once in a while.
    wire.cut(1);
    wire.run(secs(3));
    wire.leave(0);
    wire.run(secs(3));
    let others = wire.told(2).iter();
    let mut of_it = others
        .filter(|news| matches!(news, News::Left(node) | News::Joined(node) if *node == id(0)));
    assert!(matches!(of_it.next(), Some(News::Left(_))));
    assert_eq!(of_it.next(), None);
}

/// Nobody remembers it any more when the machine is back.
#[test]
fn an_origin_that_came_and_died_while_our_machine_was_suspended_is_told() {
    for leaves in [true, false] {
        let mut wire = Wire::new(3, lanes(2));
        let suspended = wire.clock(2);
        wire.suspend(2, |wire| {
            let newborn = wire.add();
            wire.link(newborn);
            wire.run(secs(3));
            wire.publish(newborn, 1);
            wire.run(secs(2));
            if leaves {
                wire.leave(newborn);
            }
            wire.run(secs(1));
            wire.kill(newborn);
            wire.run(secs(100));
        });
        let woken = wire.clock(2);
        wire.link(2);
        wire.run(secs(80));
        assert_eq!(wire.history.missing(2).len(), 1);
        let losses = wire.history.losses(2);
        let told = losses.iter().filter(|news| match news {
            News::Deaf {
                origin: None,
                since,
                until,
                ..
            } => *since <= suspended && *until >= woken,
            _ => false,
        });
        assert_eq!(told.count(), 1, "{losses:?}");
        for node in [0, 1] {
            wire.history.assert_accounted(node);
        }
    }
}

#[test]
fn a_machine_that_was_suspended_for_less_than_others_remember_is_told_nothing() {
    let mut wire = Wire::new(3, lanes(2));
    wire.suspend(2, |wire| wire.run(secs(20)));
    wire.link(2);
    wire.run(secs(80));
    let losses = wire.history.losses(2).into_iter();
    let of_nobody = losses.filter(|news| matches!(news, News::Deaf { origin: None, .. }));
    assert_eq!(of_nobody.count(), 0);
}
