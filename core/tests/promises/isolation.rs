//! Promises 6 and 8: a sink that panics or is stuck costs itself alone.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::thread;

use futures::executor::block_on;
use midplane::{Backplane, Event, Local, Sink, Verdict};

use crate::meant::panic_as_meant;
use crate::{PATIENCE, attach_counting, id, join, panics, stuck_sink, topic};

/// Sinks that panic, among 300, cost themselves and nobody else, wherever they stand in the fan-out.
#[test]
fn promise_6_a_panicking_sink_costs_only_itself() {
    let plane = Local::new();
    let t = topic("t");
    let mut well = Vec::new();
    let mut sick = Vec::new();
    for number in 0..300 {
        if number % 3 == 0 {
            let attachment = plane.attach(id(format!("p{number}")), Sink::new(panics));
            join(&attachment, &t);
            sick.push(attachment);
        } else {
            well.push(attach_counting(&plane, &format!("w{number}"), &t));
        }
    }
    let local = plane.publish(&t.clone().into(), &Event::text("e")).local;
    assert_eq!((local.accepted, local.panicked), (200, 100));
    let local = plane.publish(&t.into(), &Event::text("e")).local;
    assert_eq!((local.accepted, local.panicked), (200, 0));
    assert!(well.iter().all(|(_, calls)| calls.load(SeqCst) == 2));
    assert!(sick.iter().all(|attachment| !attachment.is_attached()));
}

/// What a sink captured may panic when it drops: the publisher and the others do not notice.
#[test]
fn promise_6_a_panicking_destructor_costs_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_as_meant();
        }
    }
    let plane = Local::new();
    let t = topic("t");
    let bomb = Bomb;
    let sink = Sink::new(move |_: &Event| {
        let _bomb = &bomb;
        Verdict::Closed
    });
    let attachment = plane.attach(id("bomb"), sink);
    join(&attachment, &t);
    let (_well, calls) = attach_counting(&plane, "well", &t);
    let local = plane.publish(&t.into(), &Event::text("e")).local;
    assert_eq!((local.accepted, local.closed), (1, 1));
    assert_eq!(calls.load(SeqCst), 1);
    block_on(attachment.detach());
    assert_eq!(plane.registry().drops().panicked, 1);
}

/// While one sink is stuck in its call, everything else goes on: publishes to others and even to the
/// same target, joins, leaves, attaches, and awaited detaches of connections elsewhere.
#[test]
fn promise_8_nothing_waits_for_a_stuck_sink() {
    let plane = Local::new();
    let (sink, stuck, release) = stuck_sink();
    let slow = plane.attach(id("slow"), sink);
    join(&slow, &topic("t"));
    let publisher = thread::spawn({
        let plane = plane.clone();
        move || usize::from(plane.publish(&topic("t").into(), &Event::text("e")))
    });
    stuck.recv_timeout(PATIENCE).unwrap();
    let (finished, done) = mpsc::channel();
    let busy = thread::spawn(move || {
        let (one, calls) = attach_counting(&plane, "one", &topic("t"));
        let (two, _) = attach_counting(&plane, "two", &topic("u"));
        assert_eq!(
            usize::from(plane.publish(&topic("t").into(), &Event::text("e"))),
            2
        );
        assert_eq!(calls.load(SeqCst), 1);
        assert_eq!(
            usize::from(plane.publish(&topic("u").into(), &Event::text("e"))),
            1
        );
        assert!(one.dissociate(&topic("t")));
        block_on(two.detach());
        finished.send(()).unwrap();
    });
    done.recv_timeout(PATIENCE)
        .expect("something waited for the stuck sink");
    release.send(()).unwrap();
    assert_eq!(publisher.join().unwrap(), 1);
    busy.join().unwrap();
}
