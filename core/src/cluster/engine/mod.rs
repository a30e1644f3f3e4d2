//! The driver's inside: the one place where the protocol, the bus and the clock meet.

mod jobs;
mod tell;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt};
use lock_api::Mutex;

use super::foreign::{Ear, ForeignCounts};
use super::lanes::Lanes;
use super::outgoing::{Answered, Command, Held, Outgoing, Queued};
use super::parts::Decode;
use super::session::{Batch, Job, Open};
use super::status::Status;
use crate::backoff::{Backoff, Random};
use crate::bus::{Bus, BusError, Inbound, Lane, Link};
use crate::host::Host;
use crate::node::{Config, Node};
use crate::node_id::NodeId;
use crate::notice::{Notice, Notices};
use crate::receipt::{FlushError, Refusal, State};
use crate::registry::Reach;
use crate::registry::Registry;
use crate::time::Instant;
use crate::time::Timer;

/// Steps taken in one poll before others on the same executor get a turn.
const STEPS: usize = 64;

/// The most frames, and about the most bytes, that are handed over in one go.
const FRAMES: usize = 64;
const BYTES: usize = 1 << 20;

/// A connect may take so many heartbeats, everything else on a session so many.
const TO_CONNECT: u32 = 5;
const TO_ACT: u32 = 2;
const PER_LANE: Duration = Duration::from_millis(1);

pub(super) struct Engine<H: Host> {
    node: Node,
    bus: Arc<dyn Bus>,
    timer: Arc<dyn Timer>,
    config: Config,
    registry: Arc<Registry<H>>,
    outgoing: Arc<Outgoing<H>>,
    lanes: Arc<Lanes<H>>,
    notices: Arc<Notices<H>>,
    status: Arc<Mutex<H::Mutex, Status>>,
    /// For programs that are no nodes.
    ear: Option<Ear>,
    phase: Phase,
    backoff: Backoff,
    /// Attempts since the node was live.
    failures: u32,
    random: Random,
    alarm: Option<(Instant, BoxFuture<'static, ()>)>,
    /// What a session took and died of, or with. It may have arrived; its numbers tell.
    again: Option<Batch>,
    /// Messages that were queued and will not be handed over any more.
    lost: u64,
    flushes: Vec<Flush>,
    hears: Vec<(Lane, oneshot::Sender<Reach>)>,
    /// Lanes that may have to be subscribed.
    wanting: BTreeSet<Lane>,
    /// Lanes that nobody here needs any more, and until when they are heard all the same.
    cooling: BTreeMap<Lane, Instant>,
    asks: BTreeMap<u64, oneshot::Sender<Result<Answered, Refusal>>>,
    closing: Option<oneshot::Sender<()>>,
    /// The others were told that this node leaves.
    left: bool,
    messages: Vec<Queued>,
    commands: Vec<Command>,
}

enum Phase {
    Pausing(Instant),
    Connecting(Instant, BoxFuture<'static, Result<Link, BusError>>),
    Open(Open),
    Over,
}

struct Flush {
    until: Instant,
    lost: u64,
    answer: oneshot::Sender<Result<(), FlushError>>,
}

impl<H: Host> Engine<H> {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part it joins; one caller"
    )]
    pub(super) fn new(
        id: NodeId,
        bus: Arc<dyn Bus>,
        timer: Arc<dyn Timer>,
        config: Config,
        registry: Arc<Registry<H>>,
        outgoing: Arc<Outgoing<H>>,
        lanes: Arc<Lanes<H>>,
        notices: Arc<Notices<H>>,
        status: Arc<Mutex<H::Mutex, Status>>,
        decode: Option<Decode>,
    ) -> Self {
        // What waits is bounded where it is let in.
        let unbounded = Config {
            queue: usize::MAX,
            ..config
        };
        let limits = bus.limits();
        let ear = decode.map(|decode| Ear {
            decode,
            counts: ForeignCounts::default(),
            limit: limits.frame,
        });
        Self {
            node: Node::new(id, unbounded, limits),
            backoff: Backoff::new(config.heartbeat / 8, config.heartbeat * 5 / 2),
            failures: 0,
            random: Random::new(u128::from_le_bytes(id.0) as u64),
            bus,
            timer,
            config,
            registry,
            outgoing,
            lanes,
            notices,
            status,
            ear,
            phase: Phase::Pausing(Instant::ZERO),
            alarm: None,
            again: None,
            lost: 0,
            flushes: Vec::new(),
            hears: Vec::new(),
            wanting: BTreeSet::new(),
            cooling: BTreeMap::new(),
            asks: BTreeMap::new(),
            closing: None,
            left: false,
            messages: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// Takes what the handles left. False if the driver is to end at once.
    fn take_in(&mut self, now: Instant) -> bool {
        let held = self.held();
        let goes_on = self
            .outgoing
            .take(held, &mut self.messages, &mut self.commands);
        for queued in self.messages.drain(..) {
            // Whoever queued it has seen that it fits.
            let _ = self.node.enqueue(queued.since, queued.lane, queued.message);
        }
        for command in core::mem::take(&mut self.commands) {
            match command {
                Command::Flush { until, answer } => {
                    let lost = self.lost;
                    self.flushes.push(Flush {
                        until,
                        lost,
                        answer,
                    });
                }
                Command::Hear { lane, answer } => {
                    self.wanting.insert(lane);
                    self.hears.push((lane, answer));
                }
                Command::Ask {
                    until,
                    scope,
                    question,
                    answer,
                } => match self.node.ask(now, until, &scope, &question) {
                    Ok(id) => {
                        self.asks.insert(id, answer);
                    }
                    Err(reason) => {
                        let _ = answer.send(Err(reason));
                    }
                },
                Command::Close { answer } => self.closing = Some(answer),
            }
        }
        for lane in self.lanes.changed() {
            if self.lanes.wanted(lane) {
                self.cooling.remove(&lane);
                self.wanting.insert(lane);
            } else {
                self.cooling.insert(lane, now + self.config.cool_down);
            }
        }
        goes_on
    }

    fn held(&self) -> Held {
        let flying = match &self.phase {
            Phase::Open(open) => open.batch(),
            _ => None,
        };
        let batches = || flying.into_iter().chain(&self.again);
        Held {
            messages: self.node.queued() + batches().map(|batch| batch.messages).sum::<usize>(),
            bytes: self.node.queued_bytes() + batches().map(|batch| batch.bytes).sum::<usize>(),
        }
    }

    /// One step of whatever phase it is; false if there is nothing to do before something happens.
    fn step(&mut self, now: Instant, context: &mut Context<'_>) -> bool {
        let moved = match core::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Pausing(until) if now < until => {
                self.phase = Phase::Pausing(until);
                self.lost += self.node.expire(now);
                false
            }
            Phase::Pausing(_) => {
                let bus = self.bus.clone();
                let work = async move { bus.connect().await };
                let until = now + self.config.heartbeat * TO_CONNECT;
                self.phase = Phase::Connecting(until, work.boxed());
                true
            }
            Phase::Connecting(until, mut work) => match work.poll_unpin(context) {
                Poll::Ready(Ok(session)) => {
                    let mut open = Open::new(session);
                    let mut lanes = self.lanes.all_wanted();
                    lanes.extend(self.ear.as_ref().map(|_| Lane::JSON));
                    let until = self.subscribed_by(now, &lanes);
                    open.start(Job::Subscribe(lanes), until);
                    self.phase = Phase::Open(open);
                    true
                }
                Poll::Ready(Err(error)) => {
                    self.pause(now, explain(&error));
                    true
                }
                Poll::Pending if now >= until => {
                    self.pause(now, late("connecting", self.config.heartbeat * TO_CONNECT));
                    true
                }
                Poll::Pending => {
                    self.phase = Phase::Connecting(until, work);
                    false
                }
            },
            Phase::Open(open) => self.step_open(now, open, context),
            Phase::Over => false,
        };
        if self.node.timeout().is_some_and(|due| due <= now) {
            self.node.tick(now);
        }
        let moved = self.take_news(now) || moved;
        self.answer();
        moved
    }

    /// Some servers confirm one lane after the other.
    fn subscribed_by(&self, now: Instant, lanes: &[Lane]) -> Instant {
        self.deadline(now) + PER_LANE * lanes.len() as u32
    }

    fn deadline(&self, now: Instant) -> Instant {
        now + self.config.heartbeat * TO_ACT
    }

    fn receive(&mut self, now: Instant, inbound: &Inbound) {
        if inbound.lane != Lane::JSON {
            self.node.receive(now, &inbound.frame);
        } else if let Some(ear) = &mut self.ear {
            ear.take(inbound, self.node.is_stalled(now), &self.registry);
        }
    }

    /// The session is dead: its batch is handed to the next one, once.
    fn bury(&mut self, now: Instant, job: Option<Job>, reason: String) {
        if let Some(Job::Send(batch)) = job {
            if batch.again {
                self.lost += batch.messages as u64;
            } else {
                self.again = Some(Batch {
                    again: true,
                    ..batch
                });
            }
        }
        self.pause(now, reason);
    }

    fn pause(&mut self, now: Instant, reason: String) {
        let wait = self.backoff.wait(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Pausing(now + wait);
        self.node.disconnected();
        self.wanting.clear();
        self.cooling.clear();
        for lane in self.node.lanes() {
            self.lanes.ignore(lane);
        }
        self.notices.tell(&Notice::Bus(reason));
    }

    fn over(&mut self) {
        self.phase = Phase::Over;
        if let Some(answer) = self.closing.take() {
            let _ = answer.send(());
        }
    }

    /// When something is due next.
    fn due(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Pausing(until) | Phase::Connecting(until, _) => Some(*until),
            Phase::Open(open) => open.until(),
            Phase::Over => None,
        };
        let cooled = match &self.phase {
            Phase::Open(open) if open.is_idle() => self.cooling.values().min().copied(),
            _ => None,
        };
        [phase, cooled, self.node.timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Sleeps until `due`; ready if that is over. A sleep that ends early does no harm.
    fn poll_alarm(&mut self, now: Instant, due: Instant, context: &mut Context<'_>) -> Poll<()> {
        if self.alarm.as_ref().is_none_or(|(at, _)| due < *at) {
            let sleep = self.timer.sleep(due - now);
            self.alarm = Some((due, sleep));
        }
        let Some((_, sleep)) = &mut self.alarm else {
            return Poll::Pending;
        };
        let rung = sleep.poll_unpin(context);
        if rung.is_ready() {
            self.alarm = None;
        }
        rung
    }
}

impl<H: Host> Future for Engine<H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let engine = &mut *self;
        engine.outgoing.register(context.waker());
        for _ in 0..STEPS {
            let now = engine.timer.now();
            if !engine.take_in(now) {
                engine.over();
            }
            if engine.step(now, context) {
                continue;
            }
            if let Phase::Over = engine.phase {
                return Poll::Ready(());
            }
            engine.note();
            let Some(due) = engine.due() else {
                return Poll::Pending;
            };
            if engine.poll_alarm(now, due, context).is_pending() {
                return Poll::Pending;
            }
        }
        engine.note();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Without its driver a cluster is one node, and says so.
impl<H: Host> Drop for Engine<H> {
    fn drop(&mut self) {
        self.outgoing.stop();
        self.notices.tell(&Notice::State(State::Degraded));
    }
}

fn explain(error: &BusError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn late(doing: &str, within: Duration) -> String {
    alloc::format!("the bus took longer than {within:?} for {doing}")
}
