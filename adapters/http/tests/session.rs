//! What a session does with a socket: one that takes little, on a virtual clock, and how often it calls it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::task::noop_waker_ref;
use futures::{FutureExt, Sink, Stream};
use midplane::{AttachOptions, Plane, Target};
use midplane_http::{Close, Dialect, Incoming, Outgoing, PumpSettings, Session};
use midplane_testkit::clock::VirtualClock;

/// A client that sends nothing, and takes messages while it is let.
#[derive(Clone, Default)]
struct Peer(Arc<Mutex<PeerState>>);

#[derive(Default)]
struct PeerState {
    room: usize,
    taken: Vec<String>,
    gone: bool,
    /// How often it was looked for what the client sent, and the task that waits for that.
    reads: usize,
    reader: Option<Waker>,
    /// The messages that were taken when the socket was flushed.
    flushed: Vec<usize>,
}

impl Peer {
    fn takes(&self, messages: usize) {
        self.0.lock().unwrap().room += messages;
    }

    fn taken(&self) -> Vec<String> {
        self.0.lock().unwrap().taken.clone()
    }

    fn leaves(&self) {
        let reader = {
            let mut peer = self.0.lock().unwrap();
            peer.gone = true;
            peer.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }

    /// How often it was looked for what the client sent.
    fn reads(&self) -> usize {
        self.0.lock().unwrap().reads
    }

    /// The messages that were taken when the socket was flushed.
    fn flushed(&self) -> Vec<usize> {
        self.0.lock().unwrap().flushed.clone()
    }
}

impl Stream for Peer {
    type Item = Result<String, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut peer = self.0.lock().unwrap();
        peer.reads += 1;
        if peer.gone {
            return Poll::Ready(None);
        }
        peer.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Sink<String> for Peer {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match self.0.lock().unwrap().room {
            0 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    fn start_send(self: Pin<&mut Self>, message: String) -> Result<(), Infallible> {
        let mut peer = self.0.lock().unwrap();
        peer.room -= 1;
        peer.taken.push(message);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let mut peer = self.0.lock().unwrap();
        let taken = peer.taken.len();
        peer.flushed.push(taken);
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

struct Texts;

impl Dialect for Texts {
    type Message = String;

    fn write(&self, outgoing: Outgoing) -> Option<String> {
        match outgoing {
            Outgoing::Item(midplane::Item::Event(event)) => event.as_text().map(String::from),
            Outgoing::Close(close) => Some(close.code.to_string()),
            _ => None,
        }
    }

    fn read(&self, _: &String) -> Incoming {
        Incoming::Request
    }
}

struct Served {
    plane: Plane,
    clock: VirtualClock,
    peer: Peer,
    session: Pin<Box<dyn Future<Output = ()>>>,
}

impl Served {
    /// A session of a client that is only told, with these events in its mailbox. No ping falls due.
    fn with(events: usize) -> Self {
        let events: Vec<_> = (0..events).map(|event| event.to_string()).collect();
        Self::told(&events)
    }

    /// A session of a client that is only told, with these events in its mailbox. No ping falls due.
    fn told(events: &[String]) -> Self {
        let (plane, clock, peer) = (Plane::local(), VirtualClock::default(), Peer::default());
        let mut settings = PumpSettings::default();
        settings.ping = Duration::from_secs(100_000);
        let timer = Arc::new(clock.clone());
        let targets = [Target::topic("t").unwrap()];
        let options = AttachOptions::new();
        let session = Session::open(&plane, options, &targets, timer, settings).unwrap();
        for event in events {
            session.handle().push(event.as_str()).unwrap();
        }
        let run = session.run(peer.clone(), Texts, |mut requests| async move {
            while requests.next().await.is_some() {}
            Ok(())
        });
        Self {
            plane,
            clock,
            peer,
            session: Box::pin(run),
        }
    }

    /// Whether the session goes on after these seconds.
    fn goes_on_after(&mut self, seconds: u64) -> bool {
        let until = self.clock.elapsed() + Duration::from_secs(seconds);
        loop {
            // More than once, for its parts wake each other.
            for _ in 0..4 {
                let context = &mut Context::from_waker(noop_waker_ref());
                if self.session.poll_unpin(context).is_ready() {
                    return false;
                }
            }
            if !self.clock.advance(until) {
                return true;
            }
        }
    }
}

/// Each message that is taken is progress: one every 55 s is slow, and not stuck.
#[test]
fn a_client_is_given_up_for_taking_nothing_and_not_for_being_slow() {
    let mut served = Served::with(8);
    assert!(served.goes_on_after(55));
    for _ in 0..6 {
        served.peer.takes(1);
        assert!(served.goes_on_after(55));
    }
    assert_eq!(served.peer.taken(), ["0", "1", "2", "3", "4", "5"]);
    assert!(served.goes_on_after(4));
    // 60 s behind the last; its own close is waited for, for two more.
    assert!(!served.goes_on_after(4));
}

#[test]
fn a_client_that_takes_nothing_keeps_a_drain_for_two_seconds() {
    let mut served = Served::with(1);
    assert!(served.goes_on_after(10));
    served.plane.drain();
    assert!(served.goes_on_after(1));
    assert!(!served.goes_on_after(4));
}

#[test]
fn what_waits_is_written_before_the_goodbye_and_a_close_of_the_plane_waits_for_it() {
    let mut served = Served::with(3);
    assert!(served.goes_on_after(1));
    let plane = served.plane.clone();
    let mut closing = Box::pin(plane.close_within(Duration::from_secs(60)));
    assert!(closing.as_mut().now_or_never().is_none());
    served.peer.takes(10);
    served.peer.leaves();
    assert!(!served.goes_on_after(1));
    let restart = Close::RESTART.to_string();
    assert_eq!(served.peer.taken(), ["0", "1", "2", &*restart]);
    assert!(closing.as_mut().now_or_never().is_some());
}

/// 64 messages, or 64 KiB of events and the one that reaches them: a client that reads slowly has no more than that of what
/// left its mailbox.
#[test]
fn all_that_waits_is_flushed_once_up_to_a_bound() {
    let mut served = Served::with(50);
    served.peer.takes(1_000);
    assert!(served.goes_on_after(0));
    assert_eq!(served.peer.flushed(), [50]);

    let mut served = Served::with(100);
    served.peer.takes(1_000);
    assert!(served.goes_on_after(0));
    assert_eq!(served.peer.flushed(), [64, 100]);

    let mut served = Served::told(&vec!["x".repeat(20 << 10); 10]);
    served.peer.takes(1_000);
    assert!(served.goes_on_after(0));
    assert_eq!(served.peer.flushed(), [4, 8, 10]);
}

/// Some libraries clear all that they read into each time they look whether the client sent something.
#[test]
fn an_event_does_not_look_for_what_the_client_sent() {
    let mut served = Served::with(0);
    served.peer.takes(1_000);
    assert!(served.goes_on_after(0));
    let before = served.peer.reads();
    for event in 0..100 {
        served
            .plane
            .try_publish(Target::topic("t"), event.to_string())
            .unwrap();
        assert!(served.goes_on_after(0));
    }
    assert_eq!(served.peer.taken().len(), 100);
    assert_eq!(served.peer.reads(), before);
    // What it sends wakes the side that reads.
    served.peer.leaves();
    assert!(!served.goes_on_after(3));
    assert_eq!(served.peer.reads(), before + 1);
}
