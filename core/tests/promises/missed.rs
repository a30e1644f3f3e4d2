//! Promise 4, to the last hop: a connection that may have missed something gets a report of it.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, OnceLock};

use futures::StreamExt;
use futures::executor::block_on;
use midplane::bus::Lane;
use midplane::core::MissedLanes;
use midplane::mailbox::{self, Capacity, Item, Overflow};
use midplane::{Attachment, Backplane, Event, Instant, Local, Missed, Sink, Target, Verdict};

use crate::meant::panic_as_meant;
use crate::{attach_counting, id, join, topic};

fn anything() -> Missed {
    Missed::uncounted(MissedLanes::ALL, Instant::ZERO, Instant::MAX)
}

fn publish(plane: &Local, text: &str) {
    let own = Target::connection("c").unwrap();
    assert_eq!(
        usize::from(plane.publish(&own.into(), &Event::text(text))),
        1
    );
}

/// Between the event before and the event after, for two closures as for a mailbox.
#[test]
fn promise_4_a_report_arrives_in_its_place() {
    let plane = Local::new();
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let (events, reports) = (calls.clone(), calls.clone());
    let sink = Sink::with_missed(
        move |event: &Event| events.lock().unwrap().push(event.as_text().unwrap().into()),
        move |missed: &Missed| reports.lock().unwrap().push(missed.to_string()),
    );
    let closures = plane.attach(id("c"), sink);
    publish(&plane, "before");
    let missed = Missed::counted(3_000, Lane(0), Instant::ZERO, Instant::ZERO);
    assert_eq!(plane.registry().missed(&missed).accepted, 1);
    publish(&plane, "after");
    let report = "events=3000 exact=true lanes=0 within=0ns";
    assert_eq!(*calls.lock().unwrap(), ["before", report, "after"]);
    drop(closures);

    let (sender, receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
    let queued = plane.attach(id("c"), sender.into_sink());
    publish(&plane, "before");
    plane.registry().missed(&missed);
    publish(&plane, "after");
    block_on(queued.detach());
    let items: Vec<Item> = block_on(receiver.collect());
    let [before, after] = ["before", "after"].map(|text| Item::Event(Event::text(text)));
    assert_eq!(items, [before, Item::Missed(Box::new(missed)), after]);
}

/// A closure of events alone goes on as before.
#[test]
fn a_sink_of_events_alone_takes_no_report() {
    let plane = Local::new();
    let (_held, calls) = attach_counting(&plane, "c", &topic("t"));
    plane.registry().missed(&anything());
    assert_eq!(calls.load(SeqCst), 0);
    publish(&plane, "event");
    assert_eq!(calls.load(SeqCst), 1);
}

#[test]
fn promise_6_a_sink_that_panics_at_a_report_costs_only_itself() {
    let plane = Local::new();
    let well: Arc<Mutex<usize>> = Arc::default();
    let held: Vec<Attachment> = (0..40)
        .map(|number| {
            let well = well.clone();
            let sink = Sink::with_missed(
                |_: &Event| {},
                move |_: &Missed| {
                    match number % 4 {
                        0 => panic_as_meant(),
                        1 => return Verdict::Closed,
                        _ => *well.lock().unwrap() += 1,
                    }
                    Verdict::Accepted
                },
            );
            plane.attach(id(format!("c{number}")), sink)
        })
        .collect();
    let delivered = plane.registry().missed(&anything());
    assert_eq!(
        (delivered.accepted, delivered.closed, delivered.panicked),
        (20, 10, 10)
    );
    assert_eq!(*well.lock().unwrap(), 20);
    let attached = held.iter().filter(|one| one.is_attached()).count();
    assert_eq!((attached, plane.registry().connections()), (20, 20));
}

/// Sinks take reports outside every lock.
#[test]
fn promise_6_a_sink_may_call_anything_at_a_report() {
    let plane = Local::new();
    let own: Arc<OnceLock<Attachment>> = Arc::default();
    let (of_sink, inner) = (own.clone(), plane.clone());
    let sink = Sink::with_missed(
        |_: &Event| {},
        move |_: &Missed| {
            let own = of_sink.get().unwrap();
            join(own, &topic("t"));
            let receipt = inner.publish(&topic("t").into(), &Event::text("e"));
            assert_eq!(usize::from(receipt), 1);
            inner
                .registry()
                .missed(&Missed::uncounted(Lane(9), Instant::ZERO, Instant::ZERO));
            block_on(own.detach());
        },
    );
    own.set(plane.attach(id("c"), sink)).unwrap();
    assert_eq!(plane.registry().missed(&anything()).accepted, 1);
    assert_eq!(plane.registry().connections(), 0);
}
