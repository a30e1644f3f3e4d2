//! Promise 2: no sink is called after its awaited detach, and nothing of a connection is left behind.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;

use futures::executor::block_on;
use midplane::{AssociateError, Audience, Backplane, Event, Local, Scope, Sink, Target};

use crate::meant::panic_as_meant;
use crate::{PATIENCE, attach_counting, counting, id, join, stuck_sink, topic};

/// Threads publish as fast as they can while connections come and go; no call outlives its detach.
#[test]
fn promise_2_no_call_outlives_an_awaited_detach() {
    let plane = Local::new();
    let done = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..3)
        .map(|_| {
            let (plane, done) = (plane.clone(), done.clone());
            thread::spawn(move || {
                while !done.load(SeqCst) {
                    let _ = plane.publish(&topic("t").into(), &Event::text("e"));
                }
            })
        })
        .collect();
    let members: Vec<_> = (0..200)
        .map(|number| attach_counting(&plane, &format!("m{number}"), &topic("t")))
        .collect();
    let late = Arc::new(AtomicUsize::new(0));
    for round in 0..2_000 {
        let gone = Arc::new(AtomicBool::new(false));
        let sink = Sink::new({
            let (gone, late) = (gone.clone(), late.clone());
            move |_: &Event| {
                std::hint::spin_loop();
                late.fetch_add(usize::from(gone.load(SeqCst)), SeqCst);
            }
        });
        let attachment = plane.attach(id(format!("c{}", round % 7)), sink);
        join(&attachment, &topic("t"));
        block_on(attachment.detach());
        gone.store(true, SeqCst);
        assert_eq!(
            Arc::strong_count(&gone),
            1,
            "what the sink captured is not dropped"
        );
    }
    done.store(true, SeqCst);
    publishers
        .into_iter()
        .for_each(|publisher| publisher.join().unwrap());
    assert_eq!(late.load(SeqCst), 0, "calls after an awaited detach");
    drop(members);
}

#[test]
fn promise_2_nothing_is_inherited_and_nothing_left_behind() {
    let plane = Local::new();
    let (first, first_calls) = attach_counting(&plane, "c", &topic("t"));
    let (sink, second_calls) = counting();
    let second = plane.attach(id("c"), sink);
    assert!(!first.is_attached() && second.is_attached());
    assert_eq!(
        usize::from(plane.publish(&topic("t").into(), &Event::text("e"))),
        0
    );
    assert_eq!(
        block_on(first.associate(&topic("t"))),
        Err(AssociateError::Detached)
    );
    assert!(first.targets().is_empty());
    drop(first);
    assert!(
        second.is_attached(),
        "dropping the replaced attachment detached its successor"
    );
    assert_eq!(
        usize::from(plane.publish(&topic("t").into(), &Event::text("e"))),
        0
    );
    assert_eq!(first_calls.load(SeqCst) + second_calls.load(SeqCst), 0);
    assert_eq!(
        plane.registry().members(&Scope::default(), &topic("t")),
        0,
        "left behind"
    );
    assert_eq!(
        block_on(second.associate(&Target::connection("d").unwrap())),
        Err(AssociateError::Reserved)
    );
}

/// A fan-out holds only the connections in its audience, not those that it excludes.
#[test]
fn promise_2_a_detach_waits_for_no_fan_out_that_left_it_out() {
    let plane = Local::new();
    let (slow, stuck, release) = stuck_sink();
    let slow = plane.attach(id("slow"), slow);
    join(&slow, &topic("t"));
    let (me, _) = attach_counting(&plane, "me", &topic("u"));
    let publisher = thread::spawn(move || {
        let audience = Audience::from(topic("t")).except(id("me"));
        usize::from(plane.publish(&audience, &Event::text("e")))
    });
    stuck.recv_timeout(PATIENCE).unwrap();
    let (finished, done) = mpsc::channel();
    let detaching = thread::spawn(move || {
        block_on(me.detach());
        finished.send(()).unwrap();
    });
    done.recv_timeout(PATIENCE)
        .expect("the detach waited for a fan-out it was left out of");
    release.send(()).unwrap();
    detaching.join().unwrap();
    assert_eq!(publisher.join().unwrap(), 1);
}

/// One waiting task whose waker panics does not keep another from waking.
#[test]
fn promise_2_every_waiting_task_is_woken() {
    struct Waiter {
        woken: AtomicUsize,
        panics: bool,
    }
    impl Wake for Waiter {
        fn wake(self: Arc<Self>) {
            self.woken.fetch_add(1, SeqCst);
            if self.panics {
                panic_as_meant();
            }
        }
    }
    let plane = Local::new();
    let (sink, stuck, release) = stuck_sink();
    let attachment = plane.attach(id("c"), sink);
    join(&attachment, &topic("t"));
    let publisher =
        thread::spawn(move || usize::from(plane.publish(&topic("t").into(), &Event::text("e"))));
    stuck.recv_timeout(PATIENCE).unwrap();
    let waiters = [true, false, true, false].map(|panics| {
        let woken = AtomicUsize::new(0);
        Arc::new(Waiter { woken, panics })
    });
    let mut detaching: Vec<_> = waiters
        .iter()
        .map(|waiter| {
            let mut detach = attachment.detach();
            let waker = Waker::from(waiter.clone());
            let outcome = Pin::new(&mut detach).poll(&mut Context::from_waker(&waker));
            assert!(outcome.is_pending());
            detach
        })
        .collect();
    drop(detaching.pop());
    release.send(()).unwrap();
    assert_eq!(publisher.join().unwrap(), 1);
    let woken = waiters.each_ref().map(|waiter| waiter.woken.load(SeqCst));
    assert_eq!(woken, [1, 1, 1, 0], "the last gave up waiting");
    let held = waiters.each_ref().map(Arc::strong_count);
    assert_eq!(held, [1; 4], "a waker was kept");
}

/// Why a connection ended is known once it has, and stays what it was first.
#[test]
fn promise_2_the_reason_of_an_end_is_told() {
    use midplane::{Ask, ConnectionEnd, Verdict};

    use crate::panics;

    let plane = Local::new();
    let attach = |name: &str| plane.attach(id(name), Sink::new(|_: &Event| {}));
    let [detached, replaced, disconnected, closed] =
        ["detached", "replaced", "disconnected", "closed"].map(attach);
    let gone = plane.attach(id("gone"), Sink::new(|_: &Event| Verdict::Closed));
    let panicked = plane.attach(id("panicked"), Sink::new(panics));
    for attachment in [
        &detached,
        &replaced,
        &disconnected,
        &closed,
        &gone,
        &panicked,
    ] {
        assert_eq!(attachment.end(), None);
    }
    drop(detached.detach());
    let successor = attach("replaced");
    let own = Target::Connection(id("disconnected")).into();
    assert_eq!(block_on(plane.disconnect(&own, PATIENCE)).connections(), 1);
    assert_eq!(gone.push(&Event::text("e")), Verdict::Closed);
    assert_eq!(panicked.push(&Event::text("e")), Verdict::Closed);
    let _ = block_on(plane.close(PATIENCE));
    let late = attach("late");
    for (attachment, end) in [
        (&detached, ConnectionEnd::Detached),
        (&replaced, ConnectionEnd::Replaced),
        (&disconnected, ConnectionEnd::Disconnected),
        (&gone, ConnectionEnd::SinkClosed),
        (&panicked, ConnectionEnd::SinkPanicked),
        (&closed, ConnectionEnd::Closed),
        (&successor, ConnectionEnd::Closed),
        (&late, ConnectionEnd::Closed),
    ] {
        assert_eq!(attachment.end(), Some(end), "{attachment:?}");
        drop(attachment.detach());
        assert_eq!(attachment.end(), Some(end), "{attachment:?}");
        assert_eq!(attachment.push(&Event::text("e")), Verdict::Closed);
    }
}
