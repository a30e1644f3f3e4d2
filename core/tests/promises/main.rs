//! The promises that concern one node, on real threads: one file for each promise. What needs chosen schedules is in
//! `interleavings`, and what needs random programs in `model`. The name of each test begins with its promise.

mod bounds;
mod detach;
mod isolation;
#[path = "../common/meant.rs"]
mod meant;
mod missed;
mod once;
mod order;
mod scope;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures::executor::block_on;
use meant::panic_as_meant;
use midplane::{Attachment, Backplane, ConnectionId, Event, Local, Sink, Target};

/// The bound on every wait, which only a failure meets.
const PATIENCE: Duration = Duration::from_secs(30);

fn id(text: impl std::fmt::Display) -> ConnectionId {
    ConnectionId::new(text).unwrap()
}

fn topic(text: &str) -> Target {
    Target::topic(text).unwrap()
}

fn join(attachment: &Attachment, target: &Target) {
    block_on(attachment.associate(target)).unwrap();
}

fn panics(_: &Event) {
    panic_as_meant();
}

/// A sink that counts its calls.
fn counting() -> (Sink, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let sink = Sink::new({
        let calls = calls.clone();
        move |_: &Event| {
            calls.fetch_add(1, SeqCst);
        }
    });
    (sink, calls)
}

fn attach_counting(plane: &Local, name: &str, target: &Target) -> (Attachment, Arc<AtomicUsize>) {
    let (sink, calls) = counting();
    let attachment = plane.attach(id(name), sink);
    join(&attachment, target);
    (attachment, calls)
}

/// A sink that reports its first call, and is stuck in it until released.
fn stuck_sink() -> (Sink, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (entered, stuck) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let (entered, released) = (Mutex::new(Some(entered)), Mutex::new(released));
    let sink = Sink::new(move |_: &Event| {
        let first = entered.lock().unwrap().take();
        if let Some(first) = first {
            first.send(()).unwrap();
            released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
    });
    (sink, stuck, release)
}
