//! A waker is foreign code: it may run its task where it is woken, which may call anything, and it may panic.

#[path = "../../core/tests/common/meant.rs"]
mod meant;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use meant::panic_as_meant;
use midplane::core::Driver;
use midplane::node::Config;
use midplane::{
    AssociateError, Attachment, Backplane, Cluster, ConnectionId, Event, Memory, Notice, Reach,
    Registry, Sink, State, Target, fresh_node_id,
};
use midplane_testkit::clock::VirtualClock;

/// The bound on every wait, which only a failure meets.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node of 4,096 lanes whose connections join three targets at most, on a bus of its own.
fn node(clock: &VirtualClock) -> (Cluster, Driver, Memory) {
    let config = Config {
        lanes: 4_096,
        ..Config::default()
    };
    let (id, bus) = (fresh_node_id().unwrap(), Memory::new());
    let builder = Cluster::builder(config).with_registry(Registry::with_limit(3));
    let timer = Arc::new(clock.clone());
    let (plane, driver) = builder.build(id, Arc::new(bus.clone()), timer);
    (plane, driver, bus)
}

fn attach(plane: &Cluster, id: &str) -> Attachment {
    let id = ConnectionId::new(id).unwrap();
    plane.attach(id, Sink::new(|_: &Event| {}))
}

fn topic(name: &str) -> Target {
    Target::topic(name).unwrap()
}

/// The driver's task, which runs where it is woken, and calls the plane for all that has a lock.
struct Inline {
    driver: Mutex<Option<Driver>>,
    plane: Cluster,
    one: OnceLock<Attachment>,
    woken: AtomicUsize,
}

impl Inline {
    fn run(self: Arc<Self>) {
        // Who wakes the task while it runs is heard by the run behind it.
        let Ok(Some(mut driver)) = self.driver.try_lock().map(|mut driver| driver.take()) else {
            return;
        };
        let waker = Waker::from(self.clone());
        let polled = driver.poll_unpin(&mut Context::from_waker(&waker));
        if polled.is_pending() {
            *self.driver.lock().unwrap() = Some(driver);
        }
    }
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, SeqCst);
        if let Some(one) = self.one.get() {
            let targets = one.targets();
            for target in targets {
                let _ = one.reach(&target);
                let _ = self.plane.publish(&target.into(), &Event::text("e"));
            }
        }
        let _ = self.plane.state();
        drop(attach(&self.plane, "another"));
        self.run();
    }
}

/// Joins, joins again, joins too much, leaves and detaches, with the driver run where it is woken: none of it is done under a
/// lock.
#[test]
fn a_waker_that_runs_its_task_waits_for_no_lock() {
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let (plane, driver, bus) = node(&VirtualClock::default());
        // No reach is known without a link.
        bus.block();
        let task = Arc::new(Inline {
            driver: Mutex::new(Some(driver)),
            plane: plane.clone(),
            one: OnceLock::new(),
            woken: AtomicUsize::new(0),
        });
        task.one.set(attach(&plane, "one")).unwrap();
        let one = task.one.get().unwrap();
        let mut woken = Vec::new();
        let mut wakes = |name: &'static str, act: &dyn Fn()| {
            // The waker is taken when it is woken.
            task.clone().run();
            let before = task.woken.load(SeqCst);
            act();
            woken.push((name, task.woken.load(SeqCst) - before));
        };
        for name in ["a", "b", "c"] {
            wakes("join", &|| drop(one.associate(&topic(name))));
        }
        wakes("join at the limit again", &|| {
            drop(one.associate(&topic("c")));
        });
        wakes("join beyond the limit", &|| {
            let refused = one.associate(&topic("d")).now_or_never();
            assert_eq!(refused, Some(Err(AssociateError::TooMany { limit: 3 })));
        });
        wakes("wait for a reach", &|| drop(one.await_reach(&topic("a"))));
        wakes("leave", &|| assert!(one.dissociate(&topic("a"))));
        wakes("detach", &|| drop(one.detach()));
        done.send(woken).unwrap();
    });
    let woken = finished.recv_timeout(PATIENCE).expect("a deadlock");
    assert!(woken.iter().all(|(_, times)| *times > 0), "{woken:?}");
}

/// One task that listens to notices and whose waker panics ends neither the driver nor what others hear.
#[test]
fn a_waker_that_panics_costs_its_own_task() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic_as_meant();
        }
    }
    let clock = VirtualClock::default();
    let (plane, mut driver, bus) = node(&clock);
    bus.block();
    let (mut bad, mut good) = (plane.notices(), plane.notices());
    for listener in [&mut bad, &mut good] {
        let first = listener.next().now_or_never();
        assert_eq!(first, Some(Some(Notice::State(State::Degraded))));
    }
    let waker = Waker::from(Arc::new(Panics));
    let mut failures = 0;
    for seconds in 1..20 {
        let context = &mut Context::from_waker(&waker);
        while let Poll::Ready(notice) = bad.poll_next_unpin(context) {
            assert!(matches!(notice, Some(Notice::Bus(_))), "{notice:?}");
        }
        assert!((&mut driver).now_or_never().is_none(), "the driver goes on");
        while let Some(notice) = good.next().now_or_never() {
            failures += usize::from(matches!(notice, Some(Notice::Bus(_))));
        }
        clock.advance(Duration::from_secs(seconds));
    }
    assert!(failures > 2, "{failures} attempts are told of");
    bus.unblock();
    let mut live = false;
    for seconds in 20..60 {
        // What the last step of the clock woke runs before the next.
        loop {
            assert!((&mut driver).now_or_never().is_none());
            if !clock.advance(Duration::from_secs(seconds)) {
                break;
            }
        }
        while let Some(notice) = good.next().now_or_never() {
            live |= notice == Some(Notice::State(State::Live));
        }
    }
    assert!(live, "it is live again");
}

/// A second connection that joins a target before the driver has counted the first is told what is so once the lane is
/// subscribed, and not that the bus is away.
#[test]
fn connections_that_join_together_reach_everywhere() {
    let clock = VirtualClock::default();
    let (plane, mut driver, _bus) = node(&clock);
    for step in 1..=40 {
        assert!((&mut driver).now_or_never().is_none());
        while clock.advance(Duration::from_millis(step * 100)) {
            assert!((&mut driver).now_or_never().is_none());
        }
    }
    assert_eq!(plane.state(), State::Live);
    for number in 0..8 {
        let target = topic(&format!("t{number}"));
        let connections = [0, 1, 2].map(|one| attach(&plane, &format!("c{number}-{one}")));
        let mut joins: Vec<_> = connections
            .iter()
            .map(|connection| connection.associate(&target))
            .collect();
        // None is answered before the lane is subscribed, and all are then.
        for join in &mut joins {
            assert_eq!(join.now_or_never(), None);
        }
        for _ in 0..8 {
            assert!((&mut driver).now_or_never().is_none());
        }
        for join in joins {
            assert_eq!(join.now_or_never(), Some(Ok(Reach::Everywhere)));
        }
    }
}
