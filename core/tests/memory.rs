//! Memory follows the connections down as well as up. Alone in its file: it counts the process's bytes.

use std::panic::{panic_any, set_hook};

use futures::StreamExt;
use futures::executor::block_on;
use midplane::mailbox::{self, Capacity, Overflow};
use midplane::{
    Attachment, Backplane, ConnectionId, Event, EventKey, Local, Sink, Target, Verdict,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const CONNECTIONS: usize = 50_000;

/// What the tables may keep of many connections that have left, for all shards together.
const KEPT: usize = 512 * 1024;

fn attach_many(plane: &Local) -> Vec<Attachment> {
    (0..CONNECTIONS)
        .map(|number| {
            let id = ConnectionId::new(format!("c{number}")).unwrap();
            let attachment = plane.attach(id, Sink::new(|_: &Event| {}));
            for target in [
                Target::session(format!("s{number}")),
                Target::user(format!("u{}", number / 2)),
                Target::org(format!("o{}", number / 1_000)),
                Target::topic("everyone"),
            ] {
                block_on(attachment.associate(&target.unwrap())).unwrap();
            }
            attachment
        })
        .collect()
}

#[test]
fn promise_5_memory_returns_to_its_base() {
    let plane = Local::new();
    let base = ALLOCATOR.current_usage();
    for round in 0..3 {
        let attached = attach_many(&plane);
        let full = ALLOCATOR.current_usage() - base;
        assert!(
            full > CONNECTIONS * 100,
            "the connections take {full} bytes, so this measures nothing"
        );
        drop(attached);
        let left = ALLOCATOR.current_usage().saturating_sub(base);
        assert!(left <= KEPT, "round {round}: {left} bytes left of {full}");
    }

    // A reader that stopped reading costs its bounds and no more.
    let (sender, receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
    let base = ALLOCATOR.current_usage();
    for number in 0..20_000 {
        let event = Event::text(format!("{number:8000}"));
        assert_eq!(sender.push(&event), Verdict::Accepted);
    }
    let waiting = ALLOCATOR.current_usage() - base;
    let bound = Capacity::default().bytes + 64 * 1024;
    assert!(
        waiting <= bound,
        "{waiting} bytes wait, the bound is {bound}"
    );
    drop(receiver);
    let left = ALLOCATOR.current_usage().saturating_sub(base);
    assert!(
        left <= 1024,
        "{left} bytes left of a mailbox that nobody reads"
    );

    // One that is read costs nothing while nothing comes, whatever has come before.
    let (sender, mut receiver) = mailbox::channel(Capacity::default(), Overflow::KeepLatest);
    let base = ALLOCATOR.current_usage();
    for number in 0..64 {
        let key = EventKey::new(format!("{number}")).unwrap();
        assert_eq!(sender.push(&Event::text("e").keyed(key)), Verdict::Accepted);
        sender.control(Event::text("c")).unwrap();
    }
    for _ in 0..128 {
        block_on(receiver.next()).unwrap();
    }
    let left = ALLOCATOR.current_usage().saturating_sub(base);
    // What control messages, keys and losses need was made for the first of them, empty tables by now.
    assert!(left <= 128, "{left} bytes left of a mailbox that was read");

    // A sink that panics costs its connection, and what the panic carried is freed.
    set_hook(Box::new(|_| {}));
    let base = ALLOCATOR.current_usage();
    for _ in 0..1_000 {
        let sink = Sink::new(|_: &Event| -> Verdict { panic_any(vec![0_u8; 1024]) });
        let attachment = plane.attach(ConnectionId::new("c").unwrap(), sink);
        let own = Target::connection("c").unwrap();
        assert_eq!(
            plane.publish(&own.into(), &Event::text("e")).local.panicked,
            1
        );
        drop(attachment);
    }
    let left = ALLOCATOR.current_usage().saturating_sub(base);
    assert!(left <= 16 * 1024, "{left} bytes left of 1,000 panics");
}
