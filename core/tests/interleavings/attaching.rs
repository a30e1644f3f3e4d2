//! Attach, associate, detach and publish, all at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use midplane_core::{
    AssociateError, Attachment, Audience, Backplane, ConnectionId, Event, Host, Local, Scope, Sink,
    Target,
};
use shuttle::future::block_on;
use shuttle::thread;

use crate::{Explored, explore, pause};

type Plane = Local<Explored>;

fn id(text: &str) -> ConnectionId {
    ConnectionId::new(text).unwrap()
}

fn topic() -> Target {
    Target::topic("t").unwrap()
}

fn join(attachment: &Attachment) {
    block_on(attachment.associate(&topic())).unwrap();
}

fn publish(plane: &Plane) {
    let _ = plane.publish(&topic().into(), &Event::text("e"));
}

fn inherited(_: &Event) {
    panic!("a new connection inherited a target");
}

/// Promise 2, the guarantee of the awaited detach.
#[test]
fn promise_2_no_call_runs_or_starts_once_a_detach_completed() {
    explore(|| {
        let plane = Plane::new();
        let gone = Arc::new(AtomicBool::new(false));
        let sink = Sink::new({
            let gone = gone.clone();
            move |_: &Event| {
                pause();
                assert!(
                    !gone.load(SeqCst),
                    "a call started or went on after the detach"
                );
                pause();
                assert!(!gone.load(SeqCst), "a call went on after the detach");
            }
        });
        let attachment = plane.attach(id("c"), sink);
        join(&attachment);
        let bystander = plane.attach(id("d"), Sink::new(|_: &Event| pause()));
        join(&bystander);
        let publishers: Vec<_> = (0..2)
            .map(|_| {
                let plane = plane.clone();
                thread::spawn(move || publish(&plane))
            })
            .collect();
        block_on(attachment.detach());
        gone.store(true, SeqCst);
        assert_eq!(
            Arc::strong_count(&gone),
            1,
            "what the sink captured is not dropped"
        );
        publishers
            .into_iter()
            .for_each(|publisher| publisher.join().unwrap());
    });
}

/// Promise 2 for an attachment that was replaced: its end can be awaited all the same, by several.
#[test]
fn promise_2_a_replaced_connection_can_be_awaited() {
    explore(|| {
        let plane = Plane::new();
        let held = Arc::new(());
        let sink = |held: Arc<()>| {
            Sink::new(move |_: &Event| {
                let _held = &held;
                pause();
            })
        };
        let first = Arc::new(plane.attach(id("c"), sink(held.clone())));
        join(&first);
        let publisher = thread::spawn({
            let plane = plane.clone();
            move || publish(&plane)
        });
        let replacer = thread::spawn({
            let plane = plane.clone();
            move || plane.attach(id("c"), Sink::new(|_: &Event| {}))
        });
        let waiter = thread::spawn({
            let first = first.clone();
            move || block_on(first.detach())
        });
        block_on(first.detach());
        assert_eq!(
            Arc::strong_count(&held),
            1,
            "what the sink captured is not dropped"
        );
        waiter.join().unwrap();
        publisher.join().unwrap();
        let second = replacer.join().unwrap();
        assert!(
            second.is_attached(),
            "the detach of the first took the second"
        );
        assert_eq!(plane.registry().connections(), 1);
    });
}

/// Promise 2: two sinks that detach each other, each awaiting it, end.
#[test]
fn promise_2_sinks_that_detach_each_other_do_not_deadlock() {
    explore(|| {
        let plane = Plane::new();
        let pair: Arc<[std::sync::OnceLock<Attachment>; 2]> = Arc::default();
        for (own, other) in [(0, 1), (1, 0)] {
            let sink = Sink::new({
                let pair = Arc::downgrade(&pair);
                move |_: &Event| {
                    pause();
                    if let Some(other) = pair.upgrade().as_ref().and_then(|pair| pair[other].get())
                    {
                        block_on(other.detach());
                    }
                }
            });
            let attachment = plane.attach(id(&own.to_string()), sink);
            join(&attachment);
            pair[own].set(attachment).unwrap();
        }
        let threads: Vec<_> = [0, 1]
            .map(|own| {
                let plane = plane.clone();
                let own = Target::connection(own.to_string()).unwrap();
                thread::spawn(move || {
                    let _ = plane.publish(&own.into(), &Event::text("e"));
                })
            })
            .into();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        for attachment in pair.iter().filter_map(std::sync::OnceLock::get) {
            block_on(attachment.detach());
        }
        assert_eq!(plane.registry().connections(), 0);
    });
}

/// Promise 2: an associate that races with the detach fails or is undone by it, and leaves nothing.
#[test]
fn promise_2_a_late_associate_leaves_nothing_behind() {
    explore(|| {
        let plane = Plane::new();
        let attachment = Arc::new(plane.attach(id("c"), Sink::new(|_: &Event| {})));
        let associate = thread::spawn({
            let attachment = attachment.clone();
            move || block_on(attachment.associate(&topic()))
        });
        let replaces = thread::spawn({
            let plane = plane.clone();
            move || plane.attach(id("c"), Sink::new(inherited))
        });
        pause();
        block_on(attachment.detach());
        let outcome = associate.join().unwrap();
        assert!(matches!(outcome, Ok(_) | Err(AssociateError::Detached)));
        let _second = replaces.join().unwrap();
        publish(&plane);
        assert_eq!(
            plane.registry().members(&Scope::default(), &topic()),
            0,
            "left behind"
        );
    });
}

/// Joins and leaves of one connection by several tasks happen one after the other, in some order.
#[test]
fn an_acknowledged_join_is_not_lost_beside_a_leave() {
    explore(|| {
        let plane = Plane::new();
        let attachment = Arc::new(plane.attach(id("c"), Sink::new(|_: &Event| {})));
        join(&attachment);
        let other = thread::spawn({
            let attachment = attachment.clone();
            move || attachment.dissociate(&topic())
        });
        let here = attachment.dissociate(&topic());
        join(&attachment);
        let there = other.join().unwrap();
        // Both found it joined only if the other came last.
        let stays = !(here && there);
        assert_eq!(attachment.is_in(&topic()), stays);
        let members = plane.registry().members(&Scope::default(), &topic());
        assert_eq!(members, usize::from(stays), "the lists disagree");
    });
}

/// Wherever the last reference drops, the closure drops where panics are contained and a detach does not
/// wait: here beside a call on the attachment.
#[test]
fn promise_6_a_closure_is_dropped_where_that_is_contained() {
    struct Probe;
    impl Drop for Probe {
        fn drop(&mut self) {
            assert!(Explored::inside_sink(), "dropped outside");
        }
    }
    explore(|| {
        let plane = Plane::new();
        let probe = Probe;
        let sink = Sink::new(move |_: &Event| {
            let _probe = &probe;
        });
        let attachment = Arc::new(plane.attach(id("c"), sink));
        let asking = thread::spawn({
            let attachment = attachment.clone();
            move || attachment.targets().len()
        });
        block_on(attachment.detach());
        assert!(asking.join().unwrap() <= 1);
    });
}

/// Promise 1 while the connection is replaced: whichever of the two got the event, only one did.
#[test]
fn promise_1_an_event_reaches_an_id_once_while_it_is_replaced() {
    explore(|| {
        let plane = Plane::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let counting = |calls: Arc<AtomicUsize>| {
            Sink::new(move |_: &Event| {
                calls.fetch_add(1, SeqCst);
            })
        };
        let first = plane.attach(id("c"), counting(calls.clone()));
        join(&first);
        let replacer = thread::spawn({
            let (plane, sink) = (plane.clone(), counting(calls.clone()));
            move || {
                let second = plane.attach(id("c"), sink);
                join(&second);
                second
            }
        });
        let audience = Audience::from(topic()).or(Target::Connection(id("c")));
        let receipt = plane.publish(&audience, &Event::text("e"));
        let _second = replacer.join().unwrap();
        let calls = calls.load(SeqCst);
        assert!(calls <= 1, "one id got the event {calls} times");
        assert_eq!(usize::from(receipt), calls);
    });
}

/// The member set: joins and leaves beside fan-outs lose nobody who stays and keep nobody who left.
#[test]
fn the_member_set_keeps_who_stays() {
    explore(|| {
        let plane = Plane::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let stays = plane.attach(
            id("stays"),
            Sink::new({
                let calls = calls.clone();
                move |_: &Event| {
                    calls.fetch_add(1, SeqCst);
                }
            }),
        );
        join(&stays);
        let churn: Vec<_> = ["x", "y"]
            .map(|name| {
                let plane = plane.clone();
                thread::spawn(move || {
                    let one = plane.attach(id(name), Sink::new(|_: &Event| pause()));
                    join(&one);
                    pause();
                    assert!(one.dissociate(&topic()));
                })
            })
            .into();
        publish(&plane);
        publish(&plane);
        churn.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(calls.load(SeqCst), 2, "who stayed got each event once");
        assert_eq!(plane.registry().members(&Scope::default(), &topic()), 1);
    });
}

/// Closing beside an attach: the connection is detached, whichever came first.
#[test]
fn closing_leaves_nobody_attached() {
    explore(|| {
        let plane = Plane::new();
        let attaching = thread::spawn({
            let plane = plane.clone();
            move || plane.attach(id("c"), Sink::new(|_: &Event| {}))
        });
        plane.registry().close();
        let attachment = attaching.join().unwrap();
        assert!(!attachment.is_attached());
        assert_eq!(plane.registry().connections(), 0);
    });
}
