//! The promises that concern one node, on real threads. What needs chosen schedules is in
//! `interleavings`, what needs random programs in `model`; the names begin with the promise they hold.

#[path = "common/meant.rs"]
mod meant;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, OnceLock, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use meant::panic_as_meant;
use midplane::mailbox::{self, Capacity, Item, Overflow};
use midplane::{
    AssociateError, Attachment, Audience, Backplane, ConnectionId, Event, Local, Refusal, Registry,
    Relay, Scope, Sink, State, Target, Verdict,
};

/// Bounds every wait, and is met only by a failure.
const PATIENCE: Duration = Duration::from_secs(30);

fn id(text: impl AsRef<str>) -> ConnectionId {
    ConnectionId::new(text).unwrap()
}

fn topic(text: &str) -> Target {
    Target::topic(text).unwrap()
}

fn join(attachment: &Attachment, target: &Target) {
    block_on(attachment.associate(target)).unwrap();
}

fn panics(_: &Event) {
    panic_as_meant();
}

/// A sink that counts its calls.
fn counting() -> (Sink, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let sink = Sink::new({
        let calls = calls.clone();
        move |_: &Event| {
            calls.fetch_add(1, SeqCst);
        }
    });
    (sink, calls)
}

fn attach_counting(plane: &Local, name: &str, target: &Target) -> (Attachment, Arc<AtomicUsize>) {
    let (sink, calls) = counting();
    let attachment = plane.attach(id(name), sink);
    join(&attachment, target);
    (attachment, calls)
}

/// A sink that is stuck in its first call, once it told so, until it is released.
fn stuck_sink() -> (Sink, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (entered, stuck) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let (entered, released) = (Mutex::new(Some(entered)), Mutex::new(released));
    let sink = Sink::new(move |_: &Event| {
        let first = entered.lock().unwrap().take();
        if let Some(first) = first {
            first.send(()).unwrap();
            released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
    });
    (sink, stuck, release)
}

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

/// A fan-out holds nobody who is not in its target, not even those it leaves out.
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

/// A sink may own its own attachment; nothing is kept alive by that.
#[test]
fn promise_5_a_sink_that_owns_its_attachment_leaks_nothing() {
    let plane = Local::new();
    let own: Arc<OnceLock<Attachment>> = Arc::default();
    let sink = Sink::new({
        let own = own.clone();
        move |_: &Event| assert!(own.get().is_some_and(Attachment::is_attached))
    });
    let attachment = plane.attach(id("c"), sink);
    join(&attachment, &topic("t"));
    own.set(attachment).unwrap();
    assert_eq!(
        usize::from(plane.publish(&topic("t").into(), &Event::text("e"))),
        1
    );
    drop(plane);
    assert_eq!(Arc::strong_count(&own), 1, "the backplane is kept alive");
}

/// Several publishers at once, each with events of its own in a row.
#[test]
fn promise_3_events_of_one_publisher_arrive_in_order() {
    const EVENTS: usize = 2_000;
    let plane = Local::new();
    let capacity = Capacity {
        messages: 3 * EVENTS,
        ..Capacity::default()
    };
    let (sender, mut receiver) = mailbox::channel(capacity, Overflow::DropNewest);
    let attachment = plane.attach(id("c"), sender.into_sink());
    join(&attachment, &topic("t"));
    let start = Arc::new(Barrier::new(3));
    let publishers: Vec<_> = (0..3)
        .map(|publisher| {
            let (plane, start) = (plane.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                for number in 0..EVENTS {
                    let event = Event::text(format!("{publisher} {number}"));
                    assert_eq!(usize::from(plane.publish(&topic("t").into(), &event)), 1);
                }
            })
        })
        .collect();
    publishers
        .into_iter()
        .for_each(|publisher| publisher.join().unwrap());
    drop(attachment);
    let mut next = [0; 3];
    let mut batch = Vec::new();
    while block_on(receiver.batch(&mut batch, 100)) > 0 {
        for item in batch.drain(..) {
            let Item::Event(event) = item else {
                panic!("{item:?}")
            };
            let (publisher, number) = event.as_text().unwrap().split_once(' ').unwrap();
            let publisher: usize = publisher.parse().unwrap();
            assert_eq!(number.parse(), Ok(next[publisher]), "publisher {publisher}");
            next[publisher] += 1;
        }
    }
    assert_eq!(next, [EVENTS; 3]);
}

#[test]
fn promise_5_a_connection_is_in_a_bounded_number_of_targets() {
    let plane = Local::with_registry(Registry::with_limit(3));
    let (sink, _) = counting();
    let attachment = plane.attach(id("c"), sink);
    for name in ["a", "b", "c", "a", "b"] {
        join(&attachment, &topic(name));
    }
    let fourth = topic("d");
    assert_eq!(
        block_on(attachment.associate(&fourth)),
        Err(AssociateError::TooMany { limit: 3 })
    );
    assert_eq!(plane.registry().members(&Scope::default(), &fourth), 0);
    assert!(attachment.dissociate(&topic("a")) && !attachment.dissociate(&topic("a")));
    join(&attachment, &fourth);
}

/// Every verdict and every panic has its count, in the receipt and in the registry's sums.
#[test]
fn promise_5_every_drop_has_a_reason_and_a_counter() {
    let plane = Local::new();
    let t = topic("t");
    let held: Vec<Attachment> = [
        ("full", Sink::new(|_: &Event| Verdict::Full)),
        ("closed", Sink::new(|_: &Event| Verdict::Closed)),
        ("panics", Sink::new(panics)),
        ("well", Sink::new(|_: &Event| Verdict::Accepted)),
    ]
    .into_iter()
    .map(|(name, sink)| {
        let attachment = plane.attach(id(name), sink);
        join(&attachment, &t);
        attachment
    })
    .collect();
    let local = plane.publish(&t.clone().into(), &Event::text("e")).local;
    assert_eq!(
        (local.accepted, local.full, local.closed, local.panicked),
        (1, 1, 1, 1)
    );
    let local = plane.publish(&t.into(), &Event::text("e")).local;
    assert_eq!(
        (local.accepted, local.full, local.closed, local.panicked),
        (1, 1, 0, 0)
    );
    let drops = plane.registry().drops();
    assert_eq!((drops.full, drops.closed, drops.panicked), (2, 1, 1));
    let attached: Vec<bool> = held.iter().map(Attachment::is_attached).collect();
    assert_eq!(attached, [true, false, false, true]);
}

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

#[test]
fn a_scoped_handle_reaches_its_own_scope_only() {
    let root = Local::new();
    let acme = root.scoped("acme").unwrap();
    let rival = root.scoped("rival").unwrap();
    let inner = acme.scoped("rival").unwrap();
    let planes: [(&str, Arc<dyn Backplane>); 4] = [
        ("root", Arc::new(root.clone())),
        ("acme", acme),
        ("rival", rival),
        ("inner", inner),
    ];
    let calls: Arc<Mutex<HashMap<&str, usize>>> = Arc::default();
    let _held: Vec<Attachment> = planes
        .iter()
        .map(|(name, plane)| {
            let (name, calls) = (*name, calls.clone());
            let sink =
                Sink::new(move |_: &Event| *calls.lock().unwrap().entry(name).or_default() += 1);
            let attachment = plane.attach(id("c"), sink);
            join(&attachment, &topic("t"));
            attachment
        })
        .collect();
    for (name, plane) in &planes {
        assert_eq!(
            usize::from(plane.publish(&topic("t").into(), &Event::text("e"))),
            1
        );
        let own = Target::connection("c").unwrap();
        assert_eq!(
            usize::from(plane.publish(&own.into(), &Event::text("e"))),
            1
        );
        assert_eq!(calls.lock().unwrap().remove(name), Some(2), "{name}");
        assert!(
            calls.lock().unwrap().is_empty(),
            "{name} reached another scope"
        );
    }
    assert!(root.scoped("").is_err());
    assert!(root.scoped(&"x".repeat(255)).is_err());
}

#[test]
fn a_closed_backplane_says_so() {
    let plane = Local::new();
    let (attachment, calls) = attach_counting(&plane, "c", &topic("t"));
    assert_eq!(plane.state(), State::Live);
    assert_eq!(block_on(plane.flush()), Ok(()));
    assert_eq!(block_on(plane.close(Duration::ZERO)).unsent, 0);
    assert_eq!(plane.state(), State::Closed);
    assert!(block_on(plane.flush()).is_err());
    let receipt = plane.publish(&topic("t").into(), &Event::text("e"));
    assert_eq!(receipt.relay, Relay::Refused(Refusal::Closed));
    assert_eq!((usize::from(receipt), calls.load(SeqCst)), (0, 0));
    assert!(!attachment.is_attached());
    let (sink, late) = counting();
    let attachment = plane.attach(id("late"), sink);
    assert_eq!(
        block_on(attachment.associate(&topic("t"))),
        Err(AssociateError::Detached)
    );
    block_on(attachment.detach());
    assert_eq!(
        Arc::strong_count(&late),
        1,
        "the sink of a late attach is dropped"
    );
}
