//! What a pump says, and when, on a virtual clock.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use midplane::mailbox::{Capacity, Overflow};
use midplane::{AttachOptions, Connection, Event, Item, Plane, Target};
use midplane_http::{Close, EventStream, Outgoing, Pump, PumpSettings};
use midplane_testkit::clock::VirtualClock;

fn pump(connection: Connection, clock: &VirtualClock) -> Pump {
    let mut settings = PumpSettings::default();
    settings.ping = Duration::from_secs(20);
    settings.patience = Duration::from_secs(5);
    Pump::new(connection, Arc::new(clock.clone()), settings)
}

fn next<S: futures::Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    stream.next().now_or_never().expect("there is something")
}

fn idles<S: futures::Stream + Unpin>(stream: &mut S) -> bool {
    stream.next().now_or_never().is_none()
}

fn at(seconds: u64, clock: &VirtualClock) {
    while clock.advance(Duration::from_secs(seconds)) {}
}

fn closes(pump: &mut Pump) -> Close {
    let mut outgoing = next(pump);
    let hinted = match outgoing {
        Some(Outgoing::ReturnAfter(time)) => {
            assert!((1_000..=2_000).contains(&time.as_millis()), "{time:?}");
            outgoing = next(pump);
            true
        }
        _ => false,
    };
    let Some(Outgoing::Close(close)) = outgoing else {
        panic!("it goes on");
    };
    // Who is told that the server goes is told when to come back, and nobody else.
    assert_eq!(hinted, close.code == Close::RESTART);
    assert_eq!(next(pump), None);
    close
}

fn event(text: &str) -> Option<Outgoing> {
    Some(Outgoing::Item(Item::Event(Event::text(text))))
}

#[test]
fn a_client_that_answers_pings_stays_and_one_that_does_not_is_closed() {
    let (plane, clock) = (Plane::local(), VirtualClock::default());
    let mut pump = pump(plane.attach(), &clock);
    let alive = pump.alive();
    for round in 0..3 {
        at(20 * round + 19, &clock);
        assert!(idles(&mut pump));
        at(20 * round + 20, &clock);
        assert_eq!(next(&mut pump), Some(Outgoing::Ping));
        assert!(idles(&mut pump));
        alive.heard();
        at(20 * round + 25, &clock);
        assert!(idles(&mut pump));
    }
    at(80, &clock);
    assert_eq!(next(&mut pump), Some(Outgoing::Ping));
    // A ping that waits to be written is not one that is not answered.
    at(180, &clock);
    assert!(idles(&mut pump));
    at(184, &clock);
    assert!(idles(&mut pump));
    at(185, &clock);
    assert_eq!(closes(&mut pump).code, Close::SILENT);
}

/// While the application does not read, nobody can hear an answer.
#[test]
fn a_busy_application_is_not_a_silent_client() {
    let (plane, clock) = (Plane::local(), VirtualClock::default());
    let mut pump = pump(plane.attach(), &clock);
    let alive = pump.alive();
    alive.set_busy(true);
    at(20, &clock);
    assert_eq!(next(&mut pump), Some(Outgoing::Ping));
    assert!(idles(&mut pump));
    at(25, &clock);
    assert!(idles(&mut pump));
    at(40, &clock);
    assert_eq!(next(&mut pump), Some(Outgoing::Ping));
    alive.set_busy(false);
    assert!(idles(&mut pump));
    // The application has just begun to read; the next ping is the first that the client has to answer.
    at(45, &clock);
    assert!(idles(&mut pump));
    at(60, &clock);
    assert_eq!(next(&mut pump), Some(Outgoing::Ping));
    assert!(idles(&mut pump));
    at(65, &clock);
    assert_eq!(closes(&mut pump).code, Close::SILENT);
}

#[test]
fn what_waits_comes_before_every_goodbye() {
    let clock = VirtualClock::default();
    for (name, code) in [
        ("farewell", 4_321),
        ("drain", Close::RESTART),
        ("close", Close::RESTART),
    ] {
        let plane = Plane::local();
        let mut pump = pump(plane.attach(), &clock);
        let own = Target::Connection(pump.connection().id().clone());
        assert_eq!(plane.publish(&own, "last").accepted(), 1);
        match name {
            "farewell" => {
                let farewell = pump.farewell().unwrap();
                farewell.send(Close::new(4_321, "done")).unwrap();
            }
            "drain" => plane.drain(),
            _ => drop(plane.close().now_or_never().expect("nothing is waited for")),
        }
        assert_eq!(next(&mut pump), event("last"), "{name}");
        assert_eq!(closes(&mut pump).code, code, "{name}");
    }
}

/// An administrative end, a replacement and an overflow have a code of their own each.
#[test]
fn each_end_of_a_connection_has_its_code() {
    let (plane, clock) = (Plane::local(), VirtualClock::default());
    let full = Capacity {
        messages: 1,
        ..Capacity::default()
    };
    let options = AttachOptions::new()
        .capacity(full)
        .overflow(Overflow::Disconnect);
    let connection = plane.attach_with(options);
    let (id, handle) = (connection.id().clone(), connection.handle());
    let mut slow = pump(connection, &clock);
    handle.push("a").unwrap();
    handle.push("b").unwrap();
    assert_eq!(next(&mut slow), Some(Outgoing::Item(Item::Lost(2))));
    assert_eq!(closes(&mut slow).code, Close::LATER);

    let attach = || plane.attach_with(AttachOptions::new().id(id.clone()));
    let mut replaced = pump(attach(), &clock);
    let mut expelled = pump(attach(), &clock);
    assert_eq!(closes(&mut replaced).code, Close::REPLACED);
    let own = Target::Connection(id.clone());
    let asked = plane.disconnect(&own, Duration::ZERO).now_or_never();
    assert_eq!(asked.unwrap().unwrap().connections(), 1);
    assert_eq!(closes(&mut expelled).code, Close::DISCONNECTED);

    let connection = attach();
    let handle = connection.handle();
    let mut detached = pump(connection, &clock);
    handle.detach();
    assert_eq!(closes(&mut detached).code, Close::NORMAL);
}

#[test]
fn a_drain_is_spread_and_events_go_on_meanwhile() {
    let (plane, clock) = (Plane::local(), VirtualClock::default());
    let mut pumps: Vec<_> = (0..64).map(|_| pump(plane.attach(), &clock)).collect();
    plane.drain_over(Duration::from_secs(10));
    let open = |pumps: &mut Vec<Pump>| {
        pumps.retain_mut(|pump| match pump.next().now_or_never() {
            None => true,
            Some(Some(Outgoing::ReturnAfter(_))) => {
                assert!(matches!(next(pump), Some(Outgoing::Close(_))));
                false
            }
            other => panic!("{other:?}"),
        });
        pumps.len()
    };
    let early = open(&mut pumps);
    assert!(early > 48, "{early} of 64 are open at once");
    at(5, &clock);
    let half = open(&mut pumps);
    assert!((8..56).contains(&half), "{half} of 64 are open half-way");
    let own = Target::Connection(pumps[0].connection().id().clone());
    assert_eq!(plane.publish(&own, "still here").accepted(), 1);
    assert_eq!(next(&mut pumps[0]), event("still here"));
    at(10, &clock);
    assert_eq!(open(&mut pumps), 0);
}

#[test]
fn an_event_stream_begins_with_its_snapshot_and_ends_with_a_retry() {
    let (plane, clock) = (Plane::local(), VirtualClock::default());
    let connection = plane.attach();
    let handle = connection.handle();
    handle.push("change").unwrap();
    let mut stream =
        EventStream::new(connection, Arc::new(clock.clone())).first(Event::text("snapshot"));
    assert_eq!(next(&mut stream).unwrap(), "data: snapshot\n\n");
    assert_eq!(next(&mut stream).unwrap(), "data: change\n\n");
    assert!(idles(&mut stream));
    at(20, &clock);
    assert_eq!(next(&mut stream).unwrap(), ":\n\n");
    handle.push("last").unwrap();
    plane.drain();
    assert_eq!(next(&mut stream).unwrap(), "data: last\n\n");
    let retry = String::from_utf8(next(&mut stream).unwrap().to_vec()).unwrap();
    let millis: u64 = retry["retry: ".len()..].trim().parse().unwrap();
    assert!((1_000..=2_000).contains(&millis), "{retry}");
    assert_eq!(next(&mut stream), None);
}

/// Of a busy topic there is always more to come.
#[test]
fn a_mailbox_that_is_never_empty_holds_no_goodbye_back() {
    let (plane, clock) = (Plane::local(), VirtualClock::default());
    let mut pump = pump(plane.attach(), &clock);
    let mut stream = EventStream::new(plane.attach(), Arc::new(clock));
    let target = Target::Connection(pump.connection().id().clone());
    assert_eq!(plane.publish(&target, "last").accepted(), 1);
    plane.drain();
    assert_eq!(next(&mut pump), event("last"));
    assert_eq!(plane.publish(&target, "late").accepted(), 0);
    assert_eq!(closes(&mut pump).code, Close::RESTART);
    // A stream that had no moment of its own ends so too.
    let _ = plane.close().now_or_never();
    assert!(next(&mut stream).unwrap().starts_with(b"retry: "));
    assert_eq!(next(&mut stream), None);
}

/// A client that reads slowly comes to a ping behind all that was written before.
#[test]
fn the_patience_is_for_silence_and_not_for_what_is_under_way() {
    let (plane, clock) = (Plane::local(), VirtualClock::default());
    let mut pump = pump(plane.attach(), &clock);
    let alive = pump.alive();
    let own = Target::Connection(pump.connection().id().clone());
    // 40 KiB take 10 s at 4 KiB/s, beside the 5 s.
    assert_eq!(plane.publish(&own, "x".repeat(40 << 10)).accepted(), 1);
    assert!(matches!(next(&mut pump), Some(Outgoing::Item(_))));
    at(20, &clock);
    assert_eq!(next(&mut pump), Some(Outgoing::Ping));
    assert!(idles(&mut pump));
    at(34, &clock);
    assert!(idles(&mut pump));
    // It takes more of what waits, and lives for as long again.
    alive.took();
    at(35, &clock);
    assert!(idles(&mut pump));
    at(49, &clock);
    assert!(idles(&mut pump));
    alive.heard();
    at(50, &clock);
    assert!(idles(&mut pump));
    // What it was heard behind is no excuse any more.
    at(65, &clock);
    assert_eq!(next(&mut pump), Some(Outgoing::Ping));
    assert!(idles(&mut pump));
    at(70, &clock);
    assert_eq!(closes(&mut pump).code, Close::SILENT);
}

/// A client nearby answers a ping before the pump is asked for what comes behind it.
#[test]
fn an_answer_that_comes_at_once_counts() {
    let (plane, clock) = (Plane::local(), VirtualClock::default());
    let mut pump = pump(plane.attach(), &clock);
    let alive = pump.alive();
    at(20, &clock);
    assert_eq!(next(&mut pump), Some(Outgoing::Ping));
    alive.heard();
    assert!(idles(&mut pump));
    at(25, &clock);
    assert!(idles(&mut pump));
    at(40, &clock);
    assert_eq!(next(&mut pump), Some(Outgoing::Ping));
}
