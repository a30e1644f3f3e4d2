//! The outgoing queue: what the handles of a cluster leave for its driver.

use alloc::vec::Vec;
use core::ops::Add;
use core::task::Waker;

use futures::channel::oneshot;
use futures::task::AtomicWaker;
use lock_api::Mutex;

use crate::bus::Lane;
use crate::host::Host;
use crate::node::Queued;
use crate::node_id::NodeId;
use crate::question::{Answer, Question};
use crate::receipt::{FlushError, Refusal};
use crate::registry::{AssociateError, Reach};
use crate::target::Scope;
use crate::time::Instant;

/// A request of a handle to the driver.
pub(super) enum Command {
    /// Answer when everything queued until this instant was handed to the bus.
    Flush {
        until: Instant,
        answer: oneshot::Sender<Result<(), FlushError>>,
    },
    /// Answer when the lane is subscribed, or that the bus is down.
    Subscribe {
        lane: Lane,
        answer: oneshot::Sender<Result<Reach, AssociateError>>,
    },
    /// Ask every other node, and answer with what arrives until the deadline.
    Ask {
        until: Instant,
        scope: Scope,
        question: Question,
        answer: oneshot::Sender<Result<Answered, Refusal>>,
    },
    /// Hand over what is queued, close the link and end.
    Close { answer: oneshot::Sender<()> },
}

impl Command {
    /// Whether nobody waits for the answer any more. A close that was begun goes on without.
    fn is_withdrawn(&self) -> bool {
        match self {
            Self::Flush { answer, .. } => answer.is_canceled(),
            Self::Subscribe { answer, .. } => answer.is_canceled(),
            Self::Ask { answer, .. } => answer.is_canceled(),
            Self::Close { .. } => false,
        }
    }
}

/// How many commands wait before those are looked for that were withdrawn.
const COMMANDS: usize = 64;

/// The answers of other nodes to a question.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) others: Vec<(NodeId, Answer)>,
    pub(super) silent: Vec<NodeId>,
    pub(super) live: bool,
}

/// Messages that were accepted for relay and not handed to the bus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Backlog {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Add for Backlog {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// The one queue to the bus, and its one budget in bytes. Nothing ever waits to be let in.
///
/// Publishers append under the lock; the driver takes everything at once, and the [`Node`](crate::node::Node) sorts
/// it by lanes. What the driver took counts against the budget until the bus has it.
pub(super) struct Outgoing<H: Host> {
    state: Mutex<H::Mutex, OutgoingState>,
    driver: AtomicWaker,
}

struct OutgoingState {
    messages: Vec<Queued>,
    commands: Vec<Command>,
    /// At how many commands those that were withdrawn are looked for.
    crowded: usize,
    /// What publishers left since the driver took the last of it.
    left: Backlog,
    /// What the driver took and did not hand over yet.
    taken: Backlog,
    /// Messages that the driver took and gave up.
    lost: u64,
    /// The budget, in bytes.
    capacity: usize,
    /// Why nothing more is let in.
    refusal: Option<Refusal>,
    /// The driver is to end at once.
    abandoned: bool,
    /// The driver has ended.
    stopped: bool,
    /// When a driver that was never polled counts as none; `None` once it was.
    overdue: Option<Instant>,
}

impl OutgoingState {
    /// Whether nothing takes what is left here.
    fn is_stopped(&self, now: Instant) -> bool {
        self.stopped || self.overdue.is_some_and(|overdue| now >= overdue)
    }
}

impl<H: Host> Outgoing<H> {
    /// A queue of this many bytes, whose driver is to be polled for the first time before `overdue`.
    pub(super) fn new(capacity: usize, overdue: Instant) -> Self {
        Self {
            state: Mutex::new(OutgoingState {
                messages: Vec::new(),
                commands: Vec::new(),
                crowded: COMMANDS,
                left: Backlog::default(),
                taken: Backlog::default(),
                lost: 0,
                capacity,
                refusal: None,
                abandoned: false,
                stopped: false,
                overdue: Some(overdue),
            }),
            driver: AtomicWaker::new(),
        }
    }

    pub(super) fn push(&self, now: Instant, queued: Queued) -> Result<(), Refusal> {
        let bytes = queued.size();
        let first = {
            let mut state = self.state.lock();
            if let Some(refusal) = state.refusal {
                return Err(refusal);
            }
            if state.is_stopped(now) {
                return Err(Refusal::Stopped);
            }
            if state.left.bytes + state.taken.bytes + bytes > state.capacity {
                return Err(Refusal::Full);
            }
            state.left = state.left + Backlog { messages: 1, bytes };
            state.messages.push(queued);
            state.messages.len() == 1
        };
        // Behind the first, the driver has been woken and has not looked yet.
        if first {
            self.driver.wake();
        }
        Ok(())
    }

    /// Leaves a command; it is dropped, and with it the promise of an answer, if the driver is gone. While the driver does
    /// not run, commands that were withdrawn take no more room than those that were not.
    pub(super) fn command(&self, now: Instant, command: Command) {
        let mut state = self.state.lock();
        if state.is_stopped(now) {
            drop(state);
            return drop(command);
        }
        state.commands.push(command);
        let mut withdrawn = Vec::new();
        if state.commands.len() >= state.crowded {
            withdrawn.extend(state.commands.extract_if(.., |one| one.is_withdrawn()));
            state.crowded = COMMANDS.max(state.commands.len() * 2);
        }
        drop(state);
        // Outside of the lock, for an event may hold what is not ours.
        drop(withdrawn);
        self.driver.wake();
    }

    /// Whether the driver is gone, or should have been polled by now and never was.
    pub(super) fn is_stopped(&self, now: Instant) -> bool {
        self.state.lock().is_stopped(now)
    }

    /// Lets nothing more in, and says how many messages were given up before.
    pub(super) fn refuse(&self, refusal: Refusal) -> u64 {
        let mut state = self.state.lock();
        state.refusal = Some(refusal);
        state.lost
    }

    /// Asks the driver to end at once.
    pub(super) fn abandon(&self) {
        self.state.lock().abandoned = true;
        self.driver.wake();
    }

    /// What waits for the bus.
    pub(super) fn backlog(&self) -> Backlog {
        let state = self.state.lock();
        state.left + state.taken
    }

    /// How many messages wait for the bus, or were given up since these were.
    pub(super) fn unsent(&self, lost: u64) -> usize {
        let state = self.state.lock();
        let given_up = usize::try_from(state.lost - lost).unwrap_or(usize::MAX);
        (state.left + state.taken).messages.saturating_add(given_up)
    }

    /// The driver is to be woken when there is something for it.
    pub(super) fn register(&self, driver: &Waker) {
        self.driver.register(driver);
    }

    pub(super) fn wake(&self) {
        self.driver.wake();
    }

    /// Swaps what waits for two empty lists, and records what the driver still holds of what it took before, and how
    /// many messages it gave up in all. False if the driver is to end.
    pub(super) fn take(
        &self,
        held: Backlog,
        lost: u64,
        messages: &mut Vec<Queued>,
        commands: &mut Vec<Command>,
    ) -> bool {
        let mut state = self.state.lock();
        state.overdue = None;
        core::mem::swap(&mut state.messages, messages);
        core::mem::swap(&mut state.commands, commands);
        // Until the driver says otherwise it holds what it took.
        state.taken = held + core::mem::take(&mut state.left);
        state.lost = lost;
        !state.abandoned
    }

    /// The driver is gone: nothing will be handed over any more.
    pub(super) fn stop(&self) {
        let commands = {
            let mut state = self.state.lock();
            state.stopped = true;
            state.refusal.get_or_insert(Refusal::Stopped);
            core::mem::take(&mut state.commands)
        };
        drop(commands);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::bus::Limits;
    use crate::event::Event;
    use crate::host::SingleThread;
    use crate::node::Intake;
    use crate::target::Target;

    type Queue = Outgoing<SingleThread<midplane::Lock>>;

    /// When a driver that was never polled counts as none.
    const OVERDUE: Instant = Instant::from_origin(Duration::from_secs(20));

    fn queue(capacity: usize) -> Queue {
        Queue::new(capacity, OVERDUE)
    }

    fn message() -> Queued {
        let audience = Target::topic("news").unwrap().into();
        let event = Event::text("hello");
        let intake = Intake::new(1, Limits::new(1_024));
        let queued = intake.publish(Instant::ZERO, &Scope::default(), &audience, &event);
        queued.unwrap()
    }

    /// What a driver does that still holds this much of what it took, and has given up nothing.
    fn take(queue: &Queue, held: Backlog) -> (usize, bool) {
        take_lossy(queue, held, 0)
    }

    /// What a driver does that still holds this much of what it took, and has given up so many messages.
    fn take_lossy(queue: &Queue, held: Backlog, lost: u64) -> (usize, bool) {
        let mut messages = Vec::new();
        let goes_on = queue.take(held, lost, &mut messages, &mut Vec::new());
        (messages.len(), goes_on)
    }

    fn backlog(messages: usize) -> Backlog {
        let bytes = messages * message().size();
        Backlog { messages, bytes }
    }

    #[test]
    fn what_the_driver_took_counts_until_it_is_handed_over() {
        let queue = queue(message().size() * 2);
        assert_eq!(queue.push(Instant::ZERO, message()), Ok(()));
        assert_eq!(queue.push(Instant::ZERO, message()), Ok(()));
        assert_eq!(queue.push(Instant::ZERO, message()), Err(Refusal::Full));
        assert_eq!(take(&queue, backlog(0)), (2, true));
        assert_eq!(queue.backlog(), backlog(2));
        assert_eq!(queue.push(Instant::ZERO, message()), Err(Refusal::Full));
        assert_eq!(take(&queue, backlog(1)), (0, true));
        assert_eq!(queue.push(Instant::ZERO, message()), Ok(()));
        assert_eq!(queue.backlog(), backlog(2));
    }

    #[test]
    fn what_nobody_waits_for_any_more_takes_no_room() {
        let queue = queue(0);
        let subscribe = |lane| {
            let (answer, waits) = oneshot::channel();
            let lane = Lane(lane);
            queue.command(Instant::ZERO, Command::Subscribe { lane, answer });
            waits
        };
        let close = oneshot::channel().0;
        queue.command(Instant::ZERO, Command::Close { answer: close });
        let kept: Vec<_> = (0..100).map(subscribe).collect();
        let mut most = 0;
        for lane in 1_000..100_000 {
            drop(subscribe(lane));
            most = most.max(queue.state.lock().commands.len());
        }
        // Twice those that are waited for: these, the close, and the one that comes.
        assert!(most <= 2 * (kept.len() + 2), "{most}");
        let mut commands = Vec::new();
        queue.take(backlog(0), 0, &mut Vec::new(), &mut commands);
        assert!(matches!(commands.remove(0), Command::Close { .. }));
        let lanes = commands.iter().filter_map(|command| match command {
            Command::Subscribe { lane, .. } if lane.0 < 1_000 => Some(lane.0),
            _ => None,
        });
        assert!(lanes.eq(0..100));
    }

    #[test]
    fn nothing_is_let_in_after_a_refusal_and_the_first_reason_stays() {
        let queue = queue(usize::MAX);
        queue.refuse(Refusal::Closed);
        queue.stop();
        assert_eq!(queue.push(Instant::ZERO, message()), Err(Refusal::Closed));
        queue.abandon();
        assert_eq!(take(&queue, backlog(0)), (0, false));
    }

    #[test]
    fn what_is_given_up_after_a_refusal_is_unsent_like_what_waits() {
        let queue = queue(usize::MAX);
        (0..4).for_each(|_| queue.push(Instant::ZERO, message()).unwrap());
        take(&queue, backlog(0));
        take_lossy(&queue, backlog(3), 1);
        let before = queue.refuse(Refusal::Closed);
        assert_eq!((before, queue.unsent(before)), (1, 3));
        take_lossy(&queue, backlog(1), 3);
        assert_eq!(queue.unsent(before), 3);
        take_lossy(&queue, backlog(0), 4);
        assert_eq!(queue.unsent(before), 3);
    }

    #[test]
    fn a_command_that_no_driver_takes_is_dropped() {
        let queue = queue(usize::MAX);
        queue.stop();
        let (answer, mut answered) = oneshot::channel();
        queue.command(Instant::ZERO, Command::Close { answer });
        assert!(answered.try_recv().is_err());
    }

    #[test]
    fn what_no_driver_was_ever_polled_for_is_refused_until_one_is() {
        let queue = queue(usize::MAX);
        assert_eq!(
            queue.push(OVERDUE - Duration::from_nanos(1), message()),
            Ok(())
        );
        assert_eq!(queue.push(OVERDUE, message()), Err(Refusal::Stopped));
        let (answer, mut answered) = oneshot::channel();
        queue.command(OVERDUE, Command::Close { answer });
        assert!(answered.try_recv().is_err());
        assert!(queue.is_stopped(OVERDUE));
        // What was let in is not lost.
        assert_eq!(take(&queue, backlog(0)), (1, true));
        assert!(!queue.is_stopped(OVERDUE));
        assert_eq!(queue.push(OVERDUE, message()), Ok(()));
    }
}
