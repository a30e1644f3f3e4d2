//! Promise 1: each connection gets an event at most once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use midplane::{Audience, Backplane, Event, Local, Scope, Target};

use crate::{attach_counting, counting, id, join, topic};

#[test]
fn promise_1_overlapping_targets_deliver_once() {
    let plane = Local::new();
    let (sink, calls) = counting();
    let attachment = plane.attach(id("c"), sink);
    let targets = [
        Target::session("x").unwrap(),
        Target::user("x").unwrap(),
        Target::org("x").unwrap(),
        Target::agent("x").unwrap(),
        topic("x"),
        topic("session:x"),
    ];
    let mut audience = Audience::from(Target::connection("c").unwrap());
    for target in targets {
        join(&attachment, &target);
        audience = audience.or(target.clone()).or(target);
    }
    let receipt = plane.publish(&audience, &Event::text("e"));
    assert_eq!((usize::from(receipt), calls.load(SeqCst)), (1, 1));
    let receipt = plane.publish(&audience.except(id("c")), &Event::text("e"));
    assert_eq!((usize::from(receipt), calls.load(SeqCst)), (0, 1));
}

/// 100,000 members of one org: every publish reaches each of them once, while others join and leave.
#[test]
fn promise_1_a_hundred_thousand_members_get_each_event_once() {
    const MEMBERS: usize = 100_000;
    const EVENTS: usize = 20;
    let plane = Local::new();
    let org = Target::org("many").unwrap();
    let members: Vec<_> = (0..MEMBERS)
        .map(|number| attach_counting(&plane, &format!("m{number}"), &org))
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let churn = thread::spawn({
        let (plane, org, done) = (plane.clone(), org.clone(), done.clone());
        move || {
            let mut cycles = 0;
            while !done.load(SeqCst) || cycles == 0 {
                let (guest, _) = attach_counting(&plane, &format!("guest{}", cycles % 100), &org);
                assert!(guest.dissociate(&org));
                cycles += 1;
            }
            cycles
        }
    });
    for _ in 0..EVENTS {
        let receipt = plane.publish(&org.clone().into(), &Event::text("e"));
        let guests = receipt.local.accepted - MEMBERS;
        assert!(guests <= 1, "{guests} guests at once, of one");
    }
    done.store(true, SeqCst);
    assert!(churn.join().unwrap() > 0);
    for (number, (_, calls)) in members.iter().enumerate() {
        assert_eq!(calls.load(SeqCst), EVENTS, "calls of member {number}");
    }
    assert_eq!(plane.registry().members(&Scope::default(), &org), MEMBERS);
    drop(members);
    assert_eq!(plane.registry().members(&Scope::default(), &org), 0);
}
