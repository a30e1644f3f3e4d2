//! Promise 3: events of one publisher arrive in the order of its publishes.

use std::sync::{Arc, Barrier};
use std::thread;

use futures::executor::block_on;
use midplane::mailbox::{self, Capacity, Item, Overflow};
use midplane::{Backplane, Event, Local};

use crate::{id, join, topic};

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
