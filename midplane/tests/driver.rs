//! A driver that does not run is said: by the state, a notice, and every receipt.

use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use futures::{FutureExt, StreamExt};
use midplane::bus::Bus;
use midplane::core::Driver;
use midplane::node::Config;
use midplane::{
    Backplane, Cluster, ConnectionId, Event, Memory, Notice, Reach, Receipt, Refusal, Relay, Sink,
    State, Target, fresh_node_id,
};
use midplane_testkit::clock::VirtualClock;

const HEARTBEAT: Duration = Duration::from_secs(2);

fn node(clock: &VirtualClock) -> (Cluster, Driver) {
    node_on(&Memory::new(), clock)
}

fn node_on(bus: &Memory, clock: &VirtualClock) -> (Cluster, Driver) {
    let config = Config {
        heartbeat: HEARTBEAT,
        lanes: 4,
        ..Config::default()
    };
    let (id, bus) = (fresh_node_id().unwrap(), Arc::new(bus.clone()));
    Cluster::new(id, bus, Arc::new(clock.clone()), config)
}

fn publish(plane: &Cluster) -> Receipt {
    let audience = Target::topic("news").unwrap().into();
    plane.publish(&audience, &Event::text("hello"))
}

const STOPPED: Relay = Relay::Refused(Refusal::Stopped);

#[test]
fn a_driver_that_is_dropped_is_a_state_and_a_notice() {
    let (plane, driver) = node(&VirtualClock::default());
    let mut notices = plane.notices();
    drop(driver);
    // Before anyone asks, and so finds it out.
    for state in [State::Degraded, State::Stopped] {
        let notice = notices.next().now_or_never();
        assert_eq!(notice, Some(Some(Notice::State(state))));
    }
    assert_eq!(plane.state(), State::Stopped);
    assert_eq!(publish(&plane).relay, STOPPED);
    assert_eq!(plane.status().refusals.stopped, 1);
    // Closing is still the end.
    assert_eq!(block_on(plane.close(HEARTBEAT)).unsent, 0);
    assert_eq!(block_on(notices.next()), Some(Notice::State(State::Closed)));
    assert_eq!(block_on(notices.next()), None);
}

#[test]
fn a_driver_that_is_never_polled_is_said_and_what_is_published_is_refused() {
    let (clock, bus) = (VirtualClock::default(), Memory::new());
    // Who is alone on the bus would be live at once.
    let _other = block_on(bus.connect()).unwrap();
    let (plane, driver) = node_on(&bus, &clock);
    let mut notices = plane.notices();
    let id = ConnectionId::new("one").unwrap();
    let phone = plane.attach(id, Sink::new(|_: &Event| {}));
    clock.advance(HEARTBEAT * 10 - Duration::from_millis(1));
    assert_eq!(publish(&plane).relay, Relay::Queued);
    assert_eq!(plane.state(), State::Degraded);

    clock.advance(HEARTBEAT * 10);
    assert_eq!(publish(&plane).relay, STOPPED);
    assert_eq!(plane.state(), State::Stopped);
    // What waits for the driver is not waited for, and is not done either.
    let topic = Target::topic("news").unwrap();
    assert_eq!(block_on(phone.associate(&topic)), Ok(Reach::Here));
    assert!(block_on(plane.flush()).is_err());
    assert_eq!(publish(&plane).accepted(), 1);

    // A driver that comes late brings what was let in before.
    let mut driver = driver;
    assert!((&mut driver).now_or_never().is_none());
    assert_eq!(plane.state(), State::Degraded);
    assert_eq!(publish(&plane).relay, Relay::Queued);
    for state in [State::Degraded, State::Stopped, State::Degraded] {
        assert_eq!(block_on(notices.next()), Some(Notice::State(state)));
    }
}

/// The first node on a bus in memory has nobody to wait for. When it comes back it waits, for others may come back as well; and
/// so does the second, for the first to say who it is.
#[test]
fn who_is_alone_on_the_bus_is_live_at_once() {
    fn run(drivers: &mut [&mut Driver]) {
        for _ in 0..8 {
            for driver in &mut *drivers {
                assert!(driver.now_or_never().is_none());
            }
        }
    }
    let (bus, clock) = (Memory::new(), VirtualClock::default());
    let pass = |drivers: &mut [&mut Driver], time: Duration| {
        let end = clock.elapsed() + time;
        while clock.advance(end) {
            run(drivers);
        }
        run(drivers);
    };
    let (first, mut one) = node_on(&bus, &clock);
    run(&mut [&mut one]);
    assert_eq!(first.state(), State::Live);

    bus.cut();
    run(&mut [&mut one]);
    assert_eq!(first.state(), State::Degraded);
    while bus.links() == 0 {
        pass(&mut [&mut one], Duration::from_millis(10));
    }
    run(&mut [&mut one]);
    assert_eq!(first.state(), State::Degraded);
    pass(&mut [&mut one], HEARTBEAT / 8);
    assert_eq!(first.state(), State::Live);

    let (second, mut two) = node_on(&bus, &clock);
    run(&mut [&mut one, &mut two]);
    assert_eq!(second.state(), State::Degraded);
    pass(&mut [&mut one, &mut two], HEARTBEAT / 8);
    assert_eq!(second.state(), State::Live);
    for (plane, other) in [(&first, &second), (&second, &first)] {
        let members: Vec<_> = plane.status().members.iter().map(|node| node.id).collect();
        assert_eq!(members, [other.id()]);
    }
}
