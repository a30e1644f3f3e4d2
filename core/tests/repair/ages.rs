//! Nothing older than its time to live is sent or delivered, by anyone, at first contact too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use midplane_core::Backplane;
use midplane_core::node::{Config, News};

use crate::history::EventName;
use crate::wire::{Wire, ms, secs};
use crate::world::{World, numbered};

/// No event came later than its time to live, as far as clocks that are a trip apart can tell.
fn assert_fresh(wire: &Wire, node: usize) {
    let at: BTreeMap<_, _> = wire.history.published().collect();
    for got in wire.history.got(node) {
        let age = got.at - at[&got.event];
        let most = Config::default().time_to_live + ms(50);
        assert!(age <= most, "{:?} was {age:?} old", got.event);
    }
}

#[test]
fn a_machine_that_slept_delivers_nothing_old_and_reports_what_it_missed() {
    for asleep in [secs(20), secs(60), secs(600)] {
        let mut wire = Wire::new(2, Config::default()).with_step(ms(50));
        wire.flow(secs(7), 1, &[(0, 0)]);
        wire.sleep(1);
        wire.flow(asleep, 1, &[(0, 0)]);
        wire.wake(1);
        wire.flow(secs(20), 1, &[(0, 0)]);
        wire.run(secs(10));
        assert_fresh(&wire, 1);
        wire.history.assert_accounted(1);
        let missing = wire.history.missing(1).len();
        if asleep > Config::default().time_to_live {
            assert!(missing > 0);
            let told = wire.history.losses(1).len();
            assert!(told <= 3, "{told} reports of one suspension");
        } else {
            assert_eq!(missing, 0, "of a sleep within the time to live");
        }
    }
}

#[test]
fn an_origin_that_slept_sends_nothing_old() {
    let mut wire = Wire::new(2, Config::default()).with_step(ms(50));
    wire.flow(secs(2), 5, &[(0, 0)]);
    // Published and not sent yet when the machine falls asleep.
    wire.publish_many(0, 0, 5);
    wire.sleep(0);
    wire.run(secs(600));
    wire.wake(0);
    wire.flow(secs(20), 5, &[(0, 0)]);
    wire.run(secs(10));
    assert_fresh(&wire, 1);
    wire.history.assert_accounted(1);
    assert!(
        wire.history.missing(1).len() <= 6,
        "{}",
        wire.history.missing(1).len()
    );
}

#[test]
fn all_machines_that_slept_go_on() {
    let mut wire = Wire::new(3, Config::default()).with_step(ms(50));
    wire.flow(secs(3), 3, &[(0, 0), (1, 0)]);
    (0..3).for_each(|node| wire.sleep(node));
    wire.run(secs(3_600));
    (0..3).for_each(|node| wire.wake(node));
    wire.run(secs(5));
    let awake = wire.now();
    wire.flow(secs(20), 3, &[(0, 0), (1, 0)]);
    wire.run(secs(10));
    for node in 0..3 {
        assert_fresh(&wire, node);
        wire.history.assert_accounted(node);
        let at: BTreeMap<_, _> = wire.history.published().collect();
        let late = wire
            .history
            .missing(node)
            .into_iter()
            .filter(|event| at[event] >= awake);
        assert_eq!(late.count(), 0, "of what was published after they woke");
    }
}

/// The frames with events that one node sent another.
fn recorded(wire: &mut Wire, from: usize, to: usize) -> Rc<RefCell<Vec<Bytes>>> {
    let frames: Rc<RefCell<Vec<Bytes>>> = Rc::default();
    let kept = frames.clone();
    wire.route(move |frame| {
        if frame.is(from, to) && frame.has_events() {
            kept.borrow_mut().push(frame.frame.clone());
        }
        Some(ms(1))
    });
    frames
}

#[test]
fn recorded_frames_of_an_origin_that_is_gone_are_not_delivered() {
    for (wait, beside) in [(52, false), (600, false), (2, false), (52, true)] {
        let mut wire = Wire::new(2, Config::default()).with_step(ms(50));
        let frames = recorded(&mut wire, 0, 1);
        wire.flow(secs(1), 10, &[(0, 0)]);
        wire.run(secs(1));
        wire.kill(0);
        wire.run(secs(wait));
        let newcomer = wire.add();
        wire.link(newcomer);
        wire.run(secs(if beside { 0 } else { 5 }));
        let frames = frames.borrow().clone();
        assert!(frames.len() >= 9);
        frames.iter().for_each(|frame| wire.inject(newcomer, frame));
        wire.run(secs(60));
        frames.iter().for_each(|frame| wire.inject(newcomer, frame));
        wire.run(secs(5));
        let got = wire.history.got(newcomer).len();
        assert_eq!(got, 0, "recorded {wait} s before, and delivered");
    }
}

#[test]
fn recorded_frames_of_an_origin_that_lives_are_not_delivered() {
    let mut wire = Wire::new(2, Config::default()).with_step(ms(50));
    let frames = recorded(&mut wire, 0, 1);
    wire.flow(secs(1), 10, &[(0, 0)]);
    for wait in [2, 52, 600] {
        wire.run(secs(wait));
        let newcomer = wire.add();
        // Before its first heartbeat, with it, and behind it.
        wire.link(newcomer);
        for _ in 0..5 {
            let frames = frames.borrow().clone();
            frames.iter().for_each(|frame| wire.inject(newcomer, frame));
            wire.run(secs(1));
        }
        wire.run(secs(40));
        let got = wire.history.got(newcomer).len();
        assert_eq!(got, 0, "published {wait} s before it came, and delivered");
        assert_eq!(
            wire.history.losses(newcomer).len(),
            0,
            "{:?}",
            wire.history.losses(newcomer)
        );
    }
    wire.history.assert_whole(1);
}

#[test]
fn a_repair_that_comes_too_late_is_reported_and_not_delivered() {
    // What is asked for is heard and does not come, or nothing that is asked for is heard.
    for asks_come in [true, false] {
        let mut wire = Wire::new(2, Config::default());
        wire.flow(secs(1), 10, &[(0, 0)]);
        let begin = wire.now();
        // Of the origin's events every fifth frame alone reaches the other for 45 s, which then waits for the others.
        let mut count = 0;
        wire.route(move |frame| {
            let events = frame.is(0, 1) && frame.has_events();
            count += u64::from(events);
            let lost = (events && count % 5 != 0) || (frame.is(1, 0) && !asks_come);
            let lost = lost && frame.within(begin, begin + secs(45));
            (!lost).then_some(ms(1))
        });
        wire.flow(secs(45), 10, &[(0, 0)]);
        wire.flow(secs(10), 10, &[(0, 0)]);
        wire.run(secs(40));
        assert_fresh(&wire, 1);
        wire.history.assert_accounted(1);
        let losses = wire.history.losses(1);
        let deaf = losses
            .iter()
            .filter(|news| matches!(news, News::Deaf { .. }));
        assert_eq!(deaf.count(), 0, "gaps are exact: {losses:?}");
    }
}

#[test]
fn nothing_older_than_its_time_to_live_is_sent_or_sent_again() {
    for away in [secs(10), secs(28), secs(33), secs(70)] {
        let mut wire = Wire::new(3, Config::default());
        let sent: Rc<RefCell<Vec<(Duration, Bytes)>>> = Rc::default();
        let (kept, begin) = (sent.clone(), wire.now());
        wire.route(move |frame| {
            if frame.is(0, 0) && frame.has_events() {
                kept.borrow_mut().push((frame.at, frame.frame.clone()));
            }
            // A third of what node 1 is sent is lost, repairs too, until shortly before the end.
            let lost = frame.is(0, 1)
                && frame.has_events()
                && frame.at.as_millis() % 30 == 0
                && frame.within(begin, begin + away * 2);
            (!lost).then_some(ms(1))
        });
        wire.flow(secs(2), 10, &[(0, 0)]);
        wire.cut(0);
        wire.flow(away / 2, 10, &[(0, 0)]);
        wire.cut(2);
        wire.flow(away / 2, 10, &[(0, 0)]);
        wire.link(0);
        wire.flow(away, 10, &[(0, 0)]);
        wire.link(2);
        wire.flow(secs(5), 10, &[(0, 0)]);
        wire.run(secs(40));
        let published: BTreeMap<_, _> = wire.history.published.clone();
        for (at, frame) in sent.borrow().iter() {
            for event in EventName::all_in(frame) {
                let age = *at - published[&event];
                assert!(
                    age <= Config::default().time_to_live,
                    "{event:?} sent {age:?} old"
                );
            }
        }
        (0..3).for_each(|node| wire.history.assert_accounted(node));
    }
}

#[test]
fn a_batch_whose_link_died_is_not_sent_after_its_time_to_live() {
    for hands_over in [false, true] {
        let (mut world, members) = World::live(2, 2, Config::default());
        let client = members[1].client(&world, "c", &["t"]);
        world.run(secs(1));
        let door = &members[0].door;
        door.hands_over.store(hands_over, SeqCst);
        door.failing_sends.store(1, SeqCst);
        let texts = numbered(67);
        texts
            .iter()
            .for_each(|text| members[0].publish("t", text.as_str()));
        // The send fails, and the bus is away for ten minutes from then on.
        world.run(ms(1));
        let begin = world.clock.elapsed();
        world.outage(secs(600));
        let newcomer = world.start(Config::default());
        let late = newcomer.client(&world, "late", &["t"]);
        world.run(secs(30));
        for text in &texts {
            let sent = door.sent(text);
            let old = sent.iter().filter(|at| **at > begin + secs(30)).count();
            assert_eq!(old, 0, "{text} was sent at {sent:?}");
        }
        assert_eq!(late.texts().len(), 0, "delivered by a newcomer");
        assert!(client.texts().len() <= texts.len());
    }
}

#[test]
fn a_flush_does_not_wait_longer_than_the_time_to_live() {
    for failing in [0, 1] {
        let (world, members) = World::live(3, 2, Config::default());
        let _client = members[1].client(&world, "c", &["t"]);
        members[0].door.failing_sends.store(failing, SeqCst);
        numbered(67)
            .iter()
            .for_each(|text| members[0].publish("t", text.as_str()));
        if failing > 0 {
            world.run(ms(1));
        }
        world.memory.block();
        let plane = members[0].plane.clone();
        let (outcome, took) = world.complete(async move { plane.flush().await });
        assert!(took <= secs(31), "{took:?}");
        assert!(outcome.is_err(), "{outcome:?}");
    }
}

#[test]
fn what_waits_for_a_bus_that_is_away_expires_and_is_reported() {
    let (world, members) = World::live(4, 2, Config::default());
    let client = members[1].client(&world, "c", &["t"]);
    world.run(secs(1));
    world.memory.block();
    world.run(secs(1));
    let texts = numbered(50);
    texts
        .iter()
        .for_each(|text| members[0].publish("t", text.as_str()));
    world.run(secs(150));
    world.memory.unblock();
    world.run(secs(30));
    assert_eq!(client.texts().len(), 0);
    let losses = members[1].losses();
    assert!(!losses.is_empty() && losses.len() <= 3, "{losses:?}");
    for text in &texts {
        assert_eq!(members[0].door.sent(text).len(), 0, "{text}");
    }
}

#[test]
fn what_a_lane_that_stood_still_brings_too_late_is_reported_and_the_rest_delivered() {
    for still in [secs(25), secs(45)] {
        let config = Config {
            lanes: 2,
            ..Config::default()
        };
        let mut wire = Wire::new(2, config);
        wire.flow(secs(1), 10, &[(0, 1)]);
        let begin = wire.now();
        wire.route(move |frame| {
            let stands = frame.is(0, 1) && frame.lane == 1 && frame.within(begin, begin + still);
            Some(if stands {
                begin + still - frame.at
            } else {
                ms(1)
            })
        });
        wire.flow(still + secs(5), 10, &[(0, 1)]);
        wire.run(secs(20));
        assert_fresh(&wire, 1);
        wire.history.assert_accounted(1);
        let late = still
            .saturating_sub(Config::default().time_to_live)
            .as_millis() as usize
            / 100;
        let missing = wire.history.missing(1).len();
        assert!(
            (late.saturating_sub(2)..=late + 2).contains(&missing),
            "{missing}, {late} are late"
        );
    }
}
