//! The memory bus behind a door of each node's own, which can be far away, shut, or break while frames pass.

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, Stream, StreamExt};
use futures::task::AtomicWaker;
use midplane::Memory;
use midplane_core::bus::{
    Bus, BusError, BusErrorKind, Inbound, Lane, Limits, Link, Outbound, Transmit,
};
use midplane_core::envelope::{Decoded, Frame, NodeId};
use midplane_testkit::clock::VirtualClock;

/// What a test does to one node's way to the bus.
#[derive(Default)]
pub(crate) struct Door {
    /// No new link is opened.
    pub(crate) shut: AtomicBool,
    /// How long a request to the bus and its answer take together, and a frame from it.
    pub(crate) distance: Mutex<Duration>,
    /// The links that were opened.
    pub(crate) links: AtomicU32,
    /// The lane whose frames do not come, `u32::MAX` for none.
    pub(crate) deaf_on: AtomicU32,
    /// The nodes whose frames do not come.
    pub(crate) deaf_to: Mutex<Vec<NodeId>>,
    /// Sending hangs.
    pub(crate) stuck: AtomicBool,
    /// The next sends fail, and their links with them.
    pub(crate) failing_sends: AtomicU32,
    /// The largest frame that the bus takes, in bytes; zero for any.
    pub(crate) largest: AtomicUsize,
    /// Whether what fails or hangs was handed over all the same.
    pub(crate) hands_over: AtomicBool,
    /// What was handed over, and when.
    sent: Mutex<Vec<(Duration, Outbound)>>,
    /// Counts the cuts, and the readers to be woken by the next.
    cuts: Arc<Cuts>,
}

#[derive(Default)]
struct Cuts {
    count: AtomicU32,
    reader: AtomicWaker,
}

impl Door {
    /// A door this far from the bus, by the time that a request and its answer take.
    pub(crate) fn at(distance: Duration) -> Self {
        Self {
            distance: Mutex::new(distance),
            ..Self::default()
        }
    }

    /// Whether the frame is of a node whose frames do not come.
    fn is_deaf_to(&self, inbound: &Inbound) -> bool {
        let deaf_to = self.deaf_to.lock().unwrap();
        let frame = Frame::decode(&inbound.frame, usize::MAX);
        !deaf_to.is_empty()
            && matches!(frame, Ok(Decoded::Frame(frame)) if deaf_to.contains(&frame.header().origin))
    }

    /// Ends the node's link.
    pub(crate) fn cut(&self) {
        self.cuts.count.fetch_add(1, SeqCst);
        self.cuts.reader.wake();
    }

    /// The moments at which a text was handed over.
    pub(crate) fn sent(&self, text: &str) -> Vec<Duration> {
        let sent = self.sent.lock().unwrap();
        let has = |frame: &[u8]| {
            frame
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        let with = sent.iter().filter(|(_, outbound)| has(&outbound.frame));
        with.map(|(at, _)| *at).collect()
    }
}

/// A node's handle to the bus behind its door.
#[derive(Clone)]
pub(crate) struct Behind {
    pub(crate) broker: Option<String>,
    pub(crate) memory: Memory,
    pub(crate) clock: VirtualClock,
    pub(crate) door: Arc<Door>,
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Behind")
    }
}

impl Behind {
    async fn trip(&self) {
        let distance = *self.door.distance.lock().unwrap();
        if !distance.is_zero() {
            self.clock.sleep(distance).await;
        }
    }
}

#[async_trait]
impl Bus for Behind {
    fn limits(&self) -> Limits {
        self.memory.limits()
    }

    fn broker(&self) -> Option<String> {
        self.broker.clone()
    }

    fn prefix(&self) -> &str {
        self.memory.prefix()
    }

    async fn connect(&self) -> Result<Link, BusError> {
        self.trip().await;
        if self.door.shut.load(SeqCst) {
            return Err(BusError::new(BusErrorKind::Unreachable, "the door is shut"));
        }
        let Link { transmit, frames } = self.memory.connect().await?;
        self.door.links.fetch_add(1, SeqCst);
        let door = self.door.clone();
        let frames = frames.filter(move |frame| {
            let deaf = door.deaf_on.load(SeqCst);
            let passes =
                !matches!(frame, Ok(inbound) if inbound.lane.0 == deaf || door.is_deaf_to(inbound));
            async move { passes }
        });
        let frames = Delayed {
            frames: frames.boxed(),
            distance: *self.door.distance.lock().unwrap(),
            clock: self.clock.clone(),
            waiting: VecDeque::new(),
            ended: false,
            sleep: None,
            cuts: self.door.cuts.clone(),
            cut: self.door.cuts.count.load(SeqCst),
        };
        Ok(Link {
            transmit: Box::new(Half {
                transmit,
                behind: self.clone(),
            }),
            frames: frames.boxed(),
        })
    }
}

struct Half {
    transmit: Box<dyn Transmit>,
    behind: Behind,
}

#[async_trait]
impl Transmit for Half {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.behind.trip().await;
        self.transmit.subscribe(lanes).await
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.transmit.unsubscribe(lanes).await
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        let door = &self.behind.door;
        let largest = door.largest.load(SeqCst);
        let is_large = |sent: &Outbound| largest > 0 && sent.frame.len() > largest;
        if frames.iter().any(is_large) {
            return Err(BusError::new(
                BusErrorKind::TooLarge,
                "a frame is too large",
            ));
        }
        let left = door.failing_sends.load(SeqCst);
        let fails = left > 0;
        if fails {
            door.failing_sends.store(left - 1, SeqCst);
        }
        let stuck = door.stuck.load(SeqCst);
        if !(fails || stuck) || door.hands_over.load(SeqCst) {
            let now = self.behind.clock.elapsed();
            let stamped = frames.iter().map(|frame| (now, frame.clone()));
            door.sent.lock().unwrap().extend(stamped);
            self.transmit.send(frames).await?;
        }
        if fails {
            return Err(BusError::new(BusErrorKind::Unreachable, "the send fails"));
        }
        if stuck {
            pending::<()>().await;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), BusError> {
        self.transmit.close().await
    }
}

/// Frames that come some time after they were sent.
struct Delayed {
    frames: BoxStream<'static, Result<Inbound, BusError>>,
    distance: Duration,
    clock: VirtualClock,
    waiting: VecDeque<(Duration, Result<Inbound, BusError>)>,
    ended: bool,
    sleep: Option<BoxFuture<'static, ()>>,
    cuts: Arc<Cuts>,
    /// The count of cuts when the link was opened.
    cut: u32,
}

impl Stream for Delayed {
    type Item = Result<Inbound, BusError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.cuts.reader.register(context.waker());
        if this.cuts.count.load(SeqCst) != this.cut {
            return Poll::Ready(None);
        }
        if this.distance.is_zero() {
            return this.frames.poll_next_unpin(context);
        }
        let now = this.clock.elapsed();
        while !this.ended
            && let Poll::Ready(frame) = this.frames.poll_next_unpin(context)
        {
            match frame {
                Some(frame) => this.waiting.push_back((now + this.distance, frame)),
                None => this.ended = true,
            }
        }
        loop {
            match this.waiting.front() {
                Some((due, _)) if *due <= now => {
                    this.sleep = None;
                    return Poll::Ready(this.waiting.pop_front().map(|(_, frame)| frame));
                }
                Some((due, _)) => {
                    let (clock, due) = (this.clock.clone(), *due);
                    let sleep = this.sleep.get_or_insert_with(|| clock.until(due).boxed());
                    if sleep.poll_unpin(context).is_pending() {
                        return Poll::Pending;
                    }
                    this.sleep = None;
                }
                None if this.ended => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    }
}
