//! How many events of other nodes a driver passes on before the tasks that read them have a turn.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::task::noop_waker_ref;
use midplane::mailbox::{Capacity, Overflow};
use midplane::{Cluster, mailbox};
use midplane_core::envelope::NodeId;
use midplane_core::node::Config;
use midplane_core::{Backplane, ConnectionId, Event, Sink};
use midplane_testkit::tasks::ProcessId;

use crate::wire::secs;
use crate::world::{World, numbered, topic};

/// The events that each poll of a driver put into a sink, of 1,000 that are published at once. What is in a mailbox is taken
/// after each poll.
fn turns(sink: impl FnOnce() -> (Sink, Box<dyn FnMut() -> usize + Send>)) -> Vec<usize> {
    let (world, members) = World::live(90, 1, Config::default());
    let (timer, bus) = (
        Arc::new(world.clock.clone()),
        Arc::new(world.memory.clone()),
    );
    let (plane, driver) = Cluster::builder(Config::default()).build(NodeId([9; 16]), bus, timer);
    let (sink, mut came) = sink();
    let attachment = plane.attach(ConnectionId::new("c").unwrap(), sink);
    let associated = attachment.associate(&topic("t"));
    world.tasks.spawn(ProcessId(9), async move {
        let _ = associated.await;
    });
    let turns: Arc<Mutex<Vec<usize>>> = Arc::default();
    let taken = turns.clone();
    world.tasks.spawn(ProcessId(9), async move {
        let mut driver = pin!(driver);
        poll_fn(|context| {
            let polled = driver.as_mut().poll(context);
            taken.lock().unwrap().push(came());
            polled
        })
        .await;
    });
    world.run(secs(5));
    for text in numbered(1_000) {
        members[0].publish("t", text.as_str());
    }
    world.run(secs(5));
    let turns = turns.lock().unwrap();
    assert_eq!(turns.iter().sum::<usize>(), 1_000);
    drop((attachment, plane));
    turns.clone()
}

/// The turns of a mailbox for this number of events.
fn turns_of(messages: usize) -> Vec<usize> {
    let capacity = Capacity {
        messages,
        ..Capacity::default()
    };
    turns(|| {
        let (sender, mut receiver) = mailbox::channel(capacity, Overflow::DropOldest);
        let came = move || {
            let mut batch = Vec::new();
            let context = &mut Context::from_waker(noop_waker_ref());
            match receiver.poll_batch(context, &mut batch, usize::MAX) {
                Poll::Ready(count) => count,
                Poll::Pending => 0,
            }
        };
        (sender.into_sink(), Box::new(came))
    })
}

#[test]
fn many_events_are_passed_on_in_a_turn_where_mailboxes_have_room() {
    assert_eq!(turns_of(4_096).into_iter().max(), Some(256));
}

#[test]
fn a_turn_ends_when_a_mailbox_is_a_quarter_full() {
    assert_eq!(turns_of(256).into_iter().max(), Some(64));
    assert_eq!(turns_of(401).into_iter().max(), Some(101));
}

/// A mailbox without any room takes no more turns than one that says nothing of its room.
#[test]
fn a_turn_passes_on_some_events_whatever_room_there_is() {
    assert_eq!(turns_of(64).into_iter().max(), Some(32));
    let said = Arc::new(Mutex::new(0));
    let counted = said.clone();
    let closure = move || {
        let sink = Sink::new(move |_: &Event| *counted.lock().unwrap() += 1);
        let came: Box<dyn FnMut() -> usize + Send> =
            Box::new(move || std::mem::take(&mut *said.lock().unwrap()));
        (sink, came)
    };
    assert_eq!(turns(closure).into_iter().max(), Some(32));
}
