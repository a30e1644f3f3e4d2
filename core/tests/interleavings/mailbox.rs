//! Several senders, one reader.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use bytes::Bytes;
use midplane_core::mailbox::{self, Capacity, Item, Overflow, Sender};
use midplane_core::{Event, EventKey, Verdict};
use shuttle::future::block_on;
use shuttle::thread;

use crate::explore;

type Lock = shuttle_parking_lot::RawMutex;

/// Every push is yielded or marked lost, each sender's in its order, and the reader always wakes: a
/// wake-up that got lost is a deadlock that shuttle reports.
#[test]
fn promise_5_a_mailbox_accounts_for_every_push() {
    explore(|| {
        let capacity = Capacity {
            messages: 2,
            ..Capacity::default()
        };
        let (sender, mut receiver) = mailbox::channel::<Lock>(capacity, Overflow::DropOldest);
        let senders: Vec<_> = (0..2)
            .map(|number| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for count in 0..3 {
                        let event = Event::text(format!("{number}{count}"));
                        assert_eq!(sender.push(&event), Verdict::Accepted);
                    }
                })
            })
            .collect();
        drop(sender);
        let (mut latest, mut events, mut lost) = ([None; 2], 0, 0);
        let mut batch = Vec::new();
        while block_on(receiver.batch(&mut batch, 4)) > 0 {
            for item in batch.drain(..) {
                match item {
                    Item::Event(event) => {
                        let text = event.bytes();
                        let (number, count) = (usize::from(text[0] - b'0'), Some(text[1]));
                        assert!(count > latest[number], "out of order");
                        latest[number] = count;
                        events += 1;
                    }
                    Item::Lost(count) => lost += count,
                    other => panic!("{other:?} was not pushed"),
                }
            }
        }
        assert_eq!(events + lost, 6, "{events} events and {lost} lost of 6");
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
    });
}

/// The sender stays, so nothing but the push can wake the reader.
#[test]
fn promise_5_a_push_wakes_the_reader() {
    explore(|| {
        let (sender, mut receiver) =
            mailbox::channel::<Lock>(Capacity::default(), Overflow::DropOldest);
        let reading = thread::spawn(move || {
            let mut batch = Vec::new();
            while batch.len() < 2 {
                block_on(receiver.batch(&mut batch, 4));
            }
            batch
        });
        assert_eq!(sender.push(&Event::text("e")), Verdict::Accepted);
        sender.control(Event::text("c")).unwrap();
        assert_eq!(reading.join().unwrap().len(), 2);
    });
}

/// A mailbox that overflows with `Disconnect` ends its reader, with the loss named.
#[test]
fn promise_5_an_overflow_that_disconnects_ends_the_reader() {
    explore(|| {
        let capacity = Capacity {
            messages: 1,
            ..Capacity::default()
        };
        let (sender, mut receiver) = mailbox::channel::<Lock>(capacity, Overflow::Disconnect);
        let pushing = thread::spawn(move || {
            let accepted = (0..3)
                .filter(|_| sender.push(&Event::text("e")) == Verdict::Accepted)
                .count();
            (accepted, sender.counters().dropped)
        });
        let (mut events, mut lost, mut batch) = (0, 0, Vec::new());
        while block_on(receiver.batch(&mut batch, 4)) > 0 {
            for item in batch.drain(..) {
                match item {
                    Item::Event(_) => events += 1,
                    Item::Lost(count) => lost += count,
                    other => panic!("{other:?} was not pushed"),
                }
            }
        }
        let (accepted, dropped) = pushing.join().unwrap();
        assert_eq!(lost, dropped);
        // What overflowed was not accepted, and what it took with it was.
        assert_eq!(events + lost, accepted as u64 + u64::from(lost > 0));
    });
}

/// Bytes and a task that look at the mailbox as they are dropped. Under its lock that is a deadlock,
/// which shuttle reports on the only schedule there is.
struct Looks(Sender<Lock>);

impl Drop for Looks {
    fn drop(&mut self) {
        let _ = self.0.counters();
    }
}

impl AsRef<[u8]> for Looks {
    fn as_ref(&self) -> &[u8] {
        b"looks"
    }
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn promise_5_a_mailbox_drops_no_event_under_its_lock() {
    let looks = || {
        for overflow in [
            Overflow::DropOldest,
            Overflow::KeepLatest,
            Overflow::Disconnect,
        ] {
            let capacity = Capacity {
                messages: 2,
                ..Capacity::default()
            };
            let (sender, receiver) = mailbox::channel::<Lock>(capacity, overflow);
            for key in ["a", "b", "b", "c"] {
                let event = Event::binary(Bytes::from_owner(Looks(sender.clone())));
                sender.push(&event.keyed(EventKey::new(key).unwrap()));
            }
            let last = Event::binary(Bytes::from_owner(Looks(sender.clone())));
            assert_eq!(
                sender.control(last).is_ok(),
                overflow != Overflow::Disconnect
            );
            drop(receiver);
        }
    };
    shuttle::check_random(looks, 1);
}

/// A reader that moves to another task, and one that goes.
#[test]
fn promise_5_a_mailbox_drops_no_waker_under_its_lock() {
    let looks = || {
        let (sender, mut receiver) =
            mailbox::channel::<Lock>(Capacity::default(), Overflow::DropOldest);
        for _ in 0..2 {
            let waker = Waker::from(Arc::new(Looks(sender.clone())));
            let mut context = Context::from_waker(&waker);
            let polled = receiver.poll_batch(&mut context, &mut Vec::new(), 1);
            assert!(polled.is_pending());
        }
        drop(receiver);
    };
    shuttle::check_random(looks, 1);
}
