//! What the two ends of a mailbox may rely on.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures::StreamExt;
use futures::executor::block_on;
use midplane::bus::Lane;
use midplane::mailbox::{self, Budget, Capacity, Item, Overflow};
use midplane::{Event, Instant, Missed, Verdict};

/// A mailbox that holds two events counts the one it had no room for apart from the two, and the
/// control message, that nobody reads any more.
#[test]
fn promise_5_what_a_reader_leaves_behind_is_counted() {
    let capacity = Capacity {
        messages: 2,
        ..Capacity::default()
    };
    let (sender, receiver) = mailbox::channel(capacity, Overflow::DropOldest);
    for text in ["a", "b", "c"] {
        assert_eq!(sender.push(&Event::text(text)), Verdict::Accepted);
    }
    sender.control(Event::text("d")).unwrap();
    assert_eq!(sender.counters().abandoned, 0);
    drop(receiver);
    assert_eq!(sender.push(&Event::text("e")), Verdict::Closed);
    let counters = sender.counters();
    assert_eq!((counters.dropped, counters.abandoned), (1, 3));
}

/// The stream too takes no event before its turn comes.
#[test]
fn a_control_message_overtakes_every_event_that_waits() {
    let (sender, mut receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
    let [first, second, stop] = ["first", "second", "stop"].map(Event::text);
    sender.push(&first);
    sender.push(&second);
    assert_eq!(block_on(receiver.next()), Some(Item::Event(first)));
    sender.control(stop.clone()).unwrap();
    assert_eq!(block_on(receiver.next()), Some(Item::Control(stop)));
    assert_eq!(block_on(receiver.next()), Some(Item::Event(second)));
}

#[test]
fn a_bound_of_no_messages_is_taken_as_one() {
    let capacity = Capacity {
        messages: 0,
        ..Capacity::default()
    };
    let (sender, mut receiver) = mailbox::channel(capacity, Overflow::DropNewest);
    let event = Event::text("e");
    assert_eq!(sender.push(&event), Verdict::Accepted);
    assert_eq!(sender.push(&event), Verdict::Full);
    assert_eq!(block_on(receiver.next()), Some(Item::Event(event)));
}

/// Both clones push into one mailbox, and each of them alone keeps the mailbox open.
#[test]
fn a_mailbox_is_open_until_its_last_sender_is_dropped() {
    let (sender, mut receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
    let [first, second] = ["first", "second"].map(Event::text);
    let clone = sender.clone();
    assert_eq!(clone.push(&first), Verdict::Accepted);
    drop(clone);
    assert_eq!(sender.push(&second), Verdict::Accepted);
    drop(sender);
    assert_eq!(block_on(receiver.next()), Some(Item::Event(first)));
    assert_eq!(block_on(receiver.next()), Some(Item::Event(second)));
    assert_eq!(block_on(receiver.next()), None);
}

/// Counts how often the task is woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A reader is to be woken from when the mailbox is empty, not from when the reader has found that out.
#[test]
fn a_reader_that_emptied_the_mailbox_is_woken_by_the_next_push() {
    let (sender, mut receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
    let task = Arc::new(Task::default());
    let waker = Waker::from(task.clone());
    let mut poll = |most| {
        let mut batch = Vec::new();
        let polled = receiver.poll_batch(&mut Context::from_waker(&waker), &mut batch, most);
        assert!(polled.is_ready(), "nothing is in the mailbox");
        batch.len()
    };
    let event = Event::text("e");
    for _ in 0..3 {
        sender.push(&event);
    }
    assert_eq!(poll(2), 2);
    sender.push(&event);
    assert_eq!(task.0.load(Ordering::Relaxed), 0, "an event was left");
    assert_eq!(poll(4), 2);
    sender.push(&event);
    assert_eq!(task.0.load(Ordering::Relaxed), 1, "no event was left");
}

#[test]
fn a_batch_ends_with_the_event_that_reaches_its_bytes() {
    let (sender, mut receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
    for bytes in [3, 4, 5, 20, 1, 1] {
        sender.push(&Event::binary(vec![0; bytes]));
    }
    let mut context = Context::from_waker(Waker::noop());
    let mut taken = Vec::new();
    for most in [8, 8, 1, 8] {
        let before = taken.len();
        let polled = receiver.poll_batch_within(&mut context, &mut taken, most, 7);
        assert_eq!(polled, Poll::Ready(taken.len() - before));
        taken.push(Item::Lost(0));
    }
    let sizes = taken.iter().map(|item| match item {
        Item::Event(event) => event.bytes().len(),
        _ => 0,
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [3, 4, 0, 5, 20, 0, 1, 0, 1, 0]);
}

#[test]
fn promise_5_a_reader_that_goes_takes_its_task_along() {
    let (sender, mut receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
    let task = Arc::new(Task::default());
    let waker = Waker::from(task.clone());
    let mut context = Context::from_waker(&waker);
    let polled = receiver.poll_batch(&mut context, &mut Vec::new(), 1);
    assert!(polled.is_pending());
    drop((receiver, waker));
    assert_eq!(Arc::strong_count(&task), 1, "the mailbox holds the task");
    drop(sender);
}

/// Bytes whose owner panics when they go.
struct Bomb;

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        b"bomb"
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the owner of an event's bytes panics");
    }
}

#[test]
fn promise_5_a_destructor_that_panics_loses_no_marker() {
    let capacity = Capacity {
        messages: 1,
        ..Capacity::default()
    };
    let (sender, mut receiver) = mailbox::channel(capacity, Overflow::DropOldest);
    sender.push(&Event::binary(Bytes::from_owner(Bomb)));
    let last = Event::text("last");
    let pushing = panic::catch_unwind(AssertUnwindSafe(|| sender.push(&last)));
    assert!(pushing.is_err());
    let mut batch = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    assert!(receiver.poll_batch(&mut context, &mut batch, 4).is_ready());
    assert_eq!(batch, [Item::Lost(1), Item::Event(last)]);
}

fn missed(events: u64) -> Missed {
    Missed::counted(events, Lane(3), Instant::ZERO, Instant::ZERO)
}

/// Two events before a report and one after it, in a mailbox for two: the oldest is dropped, the report is not.
#[test]
fn a_report_keeps_its_place_when_events_before_it_are_dropped() {
    let capacity = Capacity {
        messages: 2,
        ..Capacity::default()
    };
    let (sender, receiver) = mailbox::channel(capacity, Overflow::DropOldest);
    let [first, second, third] = ["first", "second", "third"].map(Event::text);
    sender.push(&first);
    sender.push(&second);
    assert_eq!(sender.missed(&missed(1)), Verdict::Accepted);
    assert_eq!(sender.missed(&missed(2)), Verdict::Accepted);
    sender.push(&third);
    drop(sender);
    let items: Vec<Item> = block_on(receiver.collect());
    let report = Item::Missed(Box::new(missed(3)));
    let rest = [Item::Event(second), report, Item::Event(third)];
    assert_eq!(items, [[Item::Lost(1)].as_slice(), &rest].concat());
}

/// The events around a report give way one after the other, and then the mailbox is given up.
#[test]
fn a_report_is_never_shed() {
    for (overflow, messages) in [
        (Overflow::DropOldest, 1),
        (Overflow::DropNewest, 1),
        (Overflow::KeepLatest, 1),
        (Overflow::Disconnect, 2),
    ] {
        let capacity = Capacity {
            messages,
            ..Capacity::default()
        };
        let (sender, receiver) = mailbox::channel(capacity, overflow);
        sender.push(&Event::text("before"));
        sender.missed(&missed(5));
        for _ in 0..3 {
            sender.push(&Event::text("after"));
        }
        drop(sender);
        let items: Vec<Item> = block_on(receiver.collect());
        let reports = items.iter().filter(|item| matches!(item, Item::Missed(_)));
        assert_eq!(reports.count(), 1, "{overflow:?}: {items:?}");
    }
}

#[test]
fn a_report_for_a_reader_that_is_gone_finds_the_mailbox_closed() {
    let (sender, receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
    drop(receiver);
    assert_eq!(sender.missed(&missed(1)), Verdict::Closed);
}

#[test]
fn a_report_wakes_the_reader() {
    let (sender, mut receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
    let task = Arc::new(Task::default());
    let waker = Waker::from(task.clone());
    let mut batch = Vec::new();
    let mut context = Context::from_waker(&waker);
    assert!(
        receiver
            .poll_batch(&mut context, &mut batch, 8)
            .is_pending()
    );
    sender.missed(&missed(1));
    assert_eq!(task.0.load(Ordering::Relaxed), 1);
    assert!(receiver.poll_batch(&mut context, &mut batch, 8).is_ready());
    assert_eq!(batch, [Item::Missed(Box::new(missed(1)))]);
}

/// Readers that stand still hold what the budget gives them and no more, the one that has most loses, and one that keeps up has
/// every event.
#[test]
fn promise_5_mailboxes_together_hold_what_their_budget_says() {
    const BYTES: usize = 64 << 10;
    let budget = Arc::new(Budget::new(BYTES));
    let open =
        || mailbox::channel_within(Capacity::default(), Overflow::DropOldest, budget.clone());
    let mut slow: Vec<_> = (0..8).map(|_| open()).collect();
    let (sender, mut receiver) = open();
    let event = Event::text("x".repeat(1_000));
    // The first has more than its share before there is any want.
    for _ in 0..30 {
        slow[0].0.push(&event);
    }
    assert_eq!(slow[0].0.counters().dropped, 0);
    for _ in 0..200 {
        for (sender, _) in &slow {
            assert_eq!(sender.push(&event), Verdict::Accepted);
            assert!(budget.held() <= BYTES, "{} bytes", budget.held());
        }
        assert_eq!(sender.push(&event), Verdict::Accepted);
        assert_eq!(block_on(receiver.next()), Some(Item::Event(event.clone())));
    }
    assert_eq!(sender.counters().dropped, 0);
    assert!(budget.held() > BYTES / 4, "{} bytes", budget.held());
    for (sender, receiver) in &mut slow {
        let lost = block_on(receiver.next());
        assert_eq!(lost, Some(Item::Lost(sender.counters().dropped)));
    }
    drop((slow, sender, receiver));
    assert_eq!(budget.held(), 0);
}
