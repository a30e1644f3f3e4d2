//! Promise 3, order: events of one publisher arrive in the order in which it published them.

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use futures::executor::block_on;
use midplane::mailbox::{self, Capacity, Item, Overflow};
use midplane::{Backplane, Event, Local, Sink};

use crate::{id, join, topic};

/// Three threads publish numbered events to one topic: the subscriber sees the numbers of each thread rise from 0,
/// with no gap and no repeat.
#[test]
fn promise_3_events_of_one_publisher_arrive_in_order() {
    const PUBLISHERS: usize = 3;
    const EVENTS: usize = 2_000;
    let plane = Local::new();
    // The mailbox holds every event: an overflow would look like a loss.
    let capacity = Capacity {
        messages: PUBLISHERS * EVENTS,
        ..Capacity::default()
    };
    let (sender, mut receiver) = mailbox::channel(capacity, Overflow::DropNewest);
    let attachment = plane.attach(id("c"), sender.into_sink());
    join(&attachment, &topic("t"));
    let start = Arc::new(Barrier::new(PUBLISHERS));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (plane, start) = (plane.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                for number in 0..EVENTS {
                    let event = Event::text(format!("{publisher} {number}"));
                    let receipt = plane.publish(&topic("t").into(), &event);
                    assert_eq!(receipt.local.accepted, 1);
                }
            })
        })
        .collect();
    publishers
        .into_iter()
        .for_each(|publisher| publisher.join().unwrap());
    // Detaching closes the mailbox: the loop ends when it is drained.
    drop(attachment);
    let mut expected = [0; PUBLISHERS];
    let mut batch = Vec::new();
    while block_on(receiver.batch(&mut batch, 100)) > 0 {
        for item in batch.drain(..) {
            let Item::Event(event) = item else {
                panic!("{item:?}")
            };
            let (publisher, number) = event.as_text().unwrap().split_once(' ').unwrap();
            let publisher: usize = publisher.parse().unwrap();
            assert_eq!(
                number.parse(),
                Ok(expected[publisher]),
                "publisher {publisher}"
            );
            expected[publisher] += 1;
        }
    }
    assert_eq!(expected, [EVENTS; PUBLISHERS]);
}

/// What is pushed to one connection has its place among the events that are published.
#[test]
fn promise_3_a_push_to_one_connection_comes_in_its_place() {
    let plane = Local::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let target = topic("t");
    let kept = heard.clone();
    let sink = move |event: &Event| kept.lock().unwrap().push(event.clone());
    let one = plane.attach(id("one"), Sink::new(sink));
    let other = plane.attach(id("other"), Sink::new(|_: &Event| {}));
    join(&one, &target);
    join(&other, &target);
    for number in 0..2 {
        let receipt = plane.publish(&target.clone().into(), &format!("p{number}").into());
        assert_eq!(receipt.accepted(), 2);
        assert_eq!(
            one.push(&format!("q{number}").into()),
            midplane::Verdict::Accepted
        );
    }
    let expected = ["p0", "q0", "p1", "q1"].map(Event::from);
    assert_eq!(*heard.lock().unwrap(), expected);
}
