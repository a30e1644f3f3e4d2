//! What the handles of a cluster leave for its driver.

use alloc::vec::Vec;
use core::task::Waker;

use futures::channel::oneshot;
use futures::task::AtomicWaker;
use lock_api::Mutex;

use crate::bus::Lane;
use crate::envelope::Encoded;
use crate::host::Host;
use crate::node_id::NodeId;
use crate::question::{Answer, Question};
use crate::receipt::{FlushError, Refusal};
use crate::registry::Reach;
use crate::target::Scope;
use crate::time::Instant;

/// A message on its way out.
pub(super) struct Queued {
    pub(super) since: Instant,
    pub(super) lane: Lane,
    pub(super) message: Encoded,
}

/// What a handle asks of the driver.
pub(super) enum Command {
    /// Answer when everything queued until this moment was handed to the bus.
    Flush {
        until: Instant,
        answer: oneshot::Sender<Result<(), FlushError>>,
    },
    /// Answer when the lane is heard, or that the bus is down.
    Hear {
        lane: Lane,
        answer: oneshot::Sender<Reach>,
    },
    /// Ask every other node, and answer what they do until the deadline.
    Ask {
        until: Instant,
        scope: Scope,
        question: Question,
        answer: oneshot::Sender<Result<Answered, Refusal>>,
    },
    /// Hand over what is queued, close the session and end.
    Close { answer: oneshot::Sender<()> },
}

/// What other nodes said.
#[derive(Default)]
pub(super) struct Answered {
    pub(super) others: Vec<(NodeId, Answer)>,
    pub(super) silent: Vec<NodeId>,
    pub(super) live: bool,
}

/// Bounded by bytes; nobody ever waits to put something in.
pub(super) struct Outgoing<H: Host> {
    state: Mutex<H::Mutex, State>,
    driver: AtomicWaker,
}

struct State {
    messages: Vec<Queued>,
    commands: Vec<Command>,
    /// The bytes of `messages`, and of what the driver took and did not hand over yet.
    bytes: usize,
    held: Held,
    capacity: usize,
    /// Why nothing more is let in.
    refusal: Option<Refusal>,
    /// The driver is to end at once.
    abandoned: bool,
    /// The driver has ended.
    stopped: bool,
}

/// What the driver took and did not hand over yet.
#[derive(Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl<H: Host> Outgoing<H> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                messages: Vec::new(),
                commands: Vec::new(),
                bytes: 0,
                held: Held::default(),
                capacity,
                refusal: None,
                abandoned: false,
                stopped: false,
            }),
            driver: AtomicWaker::new(),
        }
    }

    pub(super) fn push(&self, queued: Queued) -> Result<(), Refusal> {
        let size = queued.message.size();
        let first = {
            let mut state = self.state.lock();
            if let Some(refusal) = state.refusal {
                return Err(refusal);
            }
            if state.bytes + state.held.bytes + size > state.capacity {
                return Err(Refusal::Full);
            }
            state.bytes += size;
            state.messages.push(queued);
            state.messages.len() == 1
        };
        // Behind the first, the driver has been woken and has not looked yet.
        if first {
            self.driver.wake();
        }
        Ok(())
    }

    /// Leaves a command; it is dropped, and with it the promise of an answer, if the driver is gone.
    pub(super) fn command(&self, command: Command) {
        let mut state = self.state.lock();
        if state.stopped {
            drop(state);
            return drop(command);
        }
        state.commands.push(command);
        drop(state);
        self.driver.wake();
    }

    /// Lets nothing more in.
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.state.lock().refusal = Some(refusal);
    }

    /// Tells the driver to end at once.
    pub(super) fn abandon(&self) {
        self.state.lock().abandoned = true;
        self.driver.wake();
    }

    /// How many messages were not handed over.
    pub(super) fn unsent(&self) -> usize {
        let state = self.state.lock();
        state.messages.len() + state.held.messages
    }

    /// What waits for the bus, in messages and in bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        let bytes = state.bytes + state.held.bytes;
        (state.messages.len() + state.held.messages, bytes)
    }

    /// The driver is to be woken when there is something for it.
    pub(super) fn register(&self, driver: &Waker) {
        self.driver.register(driver);
    }

    pub(super) fn wake(&self) {
        self.driver.wake();
    }

    /// Swaps what waits for two empty lists, and notes what the driver holds. False if it is to end.
    pub(super) fn take(
        &self,
        held: Held,
        messages: &mut Vec<Queued>,
        commands: &mut Vec<Command>,
    ) -> bool {
        let mut state = self.state.lock();
        core::mem::swap(&mut state.messages, messages);
        core::mem::swap(&mut state.commands, commands);
        // Until the driver says otherwise it holds what it took.
        state.held = Held {
            messages: held.messages + messages.len(),
            bytes: held.bytes + core::mem::take(&mut state.bytes),
        };
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
