//! Pushing into mailboxes and draining them, beside a plain queue and a channel.

use std::collections::VecDeque;
use std::time::Instant;

use benches::{Contender, Inboxes, compare, event, section};
use midplane::Event;
use midplane::mailbox::Sender;
use tokio::sync::mpsc;

/// Readers, each with a queue of its own.
const READERS: usize = 1_000;

/// Events that wait in each queue before it is drained.
const WAITING: usize = 16;

fn main() {
    section("1,000 queues: 16 events into each, one round after the other; then each is drained");
    let push = vec![
        floor(Part::Push),
        mailbox(Part::Push),
        bounded(Part::Push),
        unbounded(Part::Push),
    ];
    compare("push", "event", push);
    let drain = vec![
        floor(Part::Drain),
        mailbox(Part::Drain),
        bounded(Part::Drain),
        unbounded(Part::Drain),
    ];
    compare("drain", "event", drain);
}

/// Which of the two is timed.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Push,
    Drain,
}

/// Times one part of each round: both are done as often as the other.
fn timed(
    name: &'static str,
    part: Part,
    mut push: impl FnMut(&Event) + 'static,
    mut drain: impl FnMut() -> usize + 'static,
) -> Contender<'static> {
    let event = event();
    Contender::new(name, READERS * WAITING, move |times| {
        let mut took = std::time::Duration::ZERO;
        for _ in 0..times {
            let start = Instant::now();
            for _ in 0..WAITING {
                push(&event);
            }
            let pushed = start.elapsed();
            let start = Instant::now();
            let count = drain();
            let drained = start.elapsed();
            assert_eq!(count, READERS * WAITING);
            took += if part == Part::Push { pushed } else { drained };
        }
        took
    })
}

fn floor(part: Part) -> Contender<'static> {
    let queues = vec![VecDeque::<Event>::new(); READERS];
    let queues = std::rc::Rc::new(std::cell::RefCell::new(queues));
    let read = queues.clone();
    let mut batch = Vec::new();
    timed(
        "floor: unsynchronised VecDeque",
        part,
        move |event| {
            for queue in queues.borrow_mut().iter_mut() {
                queue.push_back(event.clone());
            }
        },
        move || {
            let mut count = 0;
            for queue in read.borrow_mut().iter_mut() {
                batch.extend(queue.drain(..));
                count += batch.len();
                batch.clear();
            }
            count
        },
    )
}

fn mailbox(part: Part) -> Contender<'static> {
    let mut inboxes = Inboxes::default();
    let senders: Vec<Sender> = (0..READERS).map(|_| inboxes.open()).collect();
    timed(
        "midplane's mailbox, a batch at a time",
        part,
        move |event| {
            for sender in &senders {
                sender.push(event);
            }
        },
        move || inboxes.drain(),
    )
}

fn bounded(part: Part) -> Contender<'static> {
    let (senders, mut receivers): (Vec<_>, Vec<_>) =
        (0..READERS).map(|_| mpsc::channel::<Event>(256)).unzip();
    timed(
        "tokio's bounded channel",
        part,
        move |event| {
            for sender in &senders {
                assert!(sender.try_send(event.clone()).is_ok());
            }
        },
        move || {
            let mut count = 0;
            for receiver in &mut receivers {
                while receiver.try_recv().is_ok() {
                    count += 1;
                }
            }
            count
        },
    )
}

fn unbounded(part: Part) -> Contender<'static> {
    let (senders, mut receivers): (Vec<_>, Vec<_>) = (0..READERS)
        .map(|_| mpsc::unbounded_channel::<Event>())
        .unzip();
    timed(
        "tokio's unbounded channel",
        part,
        move |event| {
            for sender in &senders {
                assert!(sender.send(event.clone()).is_ok());
            }
        },
        move || {
            let mut count = 0;
            for receiver in &mut receivers {
                while receiver.try_recv().is_ok() {
                    count += 1;
                }
            }
            count
        },
    )
}
