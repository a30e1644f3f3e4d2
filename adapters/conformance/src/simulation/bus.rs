//! A bus that does everything to its nodes that a bus may do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use midplane::bus::{Bus, BusError, BusErrorKind, Inbound, Lane, Limits, Link, Outbound, Transmit};

use midplane_testkit::clock::VirtualClock;
use midplane_testkit::random::{Draw, Random};

/// The largest frame, in bytes: a burst needs several.
pub(super) const FRAME: usize = 2_048;

/// The most frames that wait in a link before it overflows.
const INBOX: usize = 400;

/// The longest way between a node and the bus, in microseconds.
const LATENCY: u64 = 3_000;

/// What is wrong between one node and the bus.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinkFaults {
    /// Connecting is refused, or takes for ever.
    pub(super) refused: bool,
    pub(super) hangs: bool,
    /// Subscribing takes for ever.
    pub(super) unanswered: bool,
    /// Sending takes for ever.
    pub(super) stuck: bool,
    /// Frames to the node are lost; frames from it are.
    pub(super) deaf: bool,
    pub(super) mute: bool,
    /// Frames to the node wait until this ends.
    pub(super) held: bool,
}

/// What is wrong with the bus as a whole: one frame in this many is affected, or none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameFaults {
    pub(super) lost: Option<u64>,
    pub(super) repeated: Option<u64>,
    pub(super) late: Option<u64>,
}

/// The server between the nodes. A clone is another handle to it.
#[derive(Clone)]
pub(super) struct BusServer(Arc<Mutex<State>>);

struct State {
    clock: VirtualClock,
    random: Random,
    places: BTreeMap<usize, LinkFaults>,
    frame_faults: FrameFaults,
    next: u64,
    links: BTreeMap<u64, Open>,
    /// Tasks that wait for a change.
    waiting: Vec<Waker>,
}

struct Open {
    place: usize,
    lanes: BTreeSet<Lane>,
    inbox: VecDeque<Inbound>,
    /// Frames that arrived while the place was held.
    held: VecDeque<Inbound>,
    end: Option<BusErrorKind>,
    /// When the last frame on its way arrives: none overtakes it.
    last: Duration,
}

impl BusServer {
    pub(super) fn new(clock: VirtualClock, random: Random) -> Self {
        Self(Arc::new(Mutex::new(State {
            clock,
            random,
            places: BTreeMap::new(),
            frame_faults: FrameFaults::default(),
            next: 0,
            links: BTreeMap::new(),
            waiting: Vec::new(),
        })))
    }

    /// The bus for the node at this place.
    pub(super) fn bus(&self, place: usize) -> Arc<dyn Bus> {
        let server = self.clone();
        Arc::new(SimulatedBus { server, place })
    }

    /// Changes what is wrong at a place.
    pub(super) fn change(&self, place: usize, change: impl FnOnce(&mut LinkFaults)) {
        let mut state = self.state();
        let faults = state.places.entry(place).or_default();
        change(faults);
        if !faults.held {
            let links = state.links.values_mut();
            for open in links.filter(|open| open.place == place) {
                open.inbox.append(&mut open.held);
            }
        }
        wake(state);
    }

    pub(super) fn frame_faults(&self, frame_faults: FrameFaults) {
        self.state().frame_faults = frame_faults;
    }

    /// Ends the links of a place, or all of them.
    pub(super) fn cut(&self, place: Option<usize>) {
        let mut state = self.state();
        for open in state.links.values_mut() {
            if place.is_none_or(|place| place == open.place) {
                open.end.get_or_insert(BusErrorKind::Unreachable);
            }
        }
        wake(state);
    }

    /// Drops the subscriptions of a place without an error, as a server that lost them does.
    pub(super) fn forget(&self, place: usize) {
        let mut state = self.state();
        let links = state.links.values_mut();
        for open in links.filter(|open| open.place == place) {
            open.lanes.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves the state whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds something in the state.
    async fn once<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        poll_fn(|context| self.poll(context, &mut look)).await
    }

    fn poll<T>(
        &self,
        context: &mut Context<'_>,
        look: &mut impl FnMut(&mut State) -> Option<T>,
    ) -> Poll<T> {
        let mut state = self.state();
        if let Some(found) = look(&mut state) {
            return Poll::Ready(found);
        }
        if !state
            .waiting
            .iter()
            .any(|waker| waker.will_wake(context.waker()))
        {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for one way between a node and the bus.
    async fn travel(&self) {
        let sleep = {
            let mut state = self.state();
            let latency = state.latency();
            state.clock.sleep(latency)
        };
        sleep.await;
    }

    /// Delivers a frame to every link that subscribed its lane.
    fn carry(&self, from: usize, frame: &Outbound) {
        let mut state = self.state();
        if state.place(from).mute {
            return;
        }
        let to: Vec<u64> = state
            .links
            .iter()
            .filter(|(_, open)| open.lanes.contains(&frame.lane))
            .map(|(id, _)| *id)
            .collect();
        for id in to {
            let frame_faults = state.frame_faults;
            if state.chance(frame_faults.lost) {
                continue;
            }
            let copies = 1 + u8::from(state.chance(frame_faults.repeated));
            for _ in 0..copies {
                let due = state.due(id);
                let inbound = Inbound {
                    lane: frame.lane,
                    frame: frame.frame.clone(),
                };
                let server = Arc::downgrade(&self.0);
                let clock = state.clock.clone();
                clock.at(due, move || arrive(&server, id, inbound));
            }
        }
    }
}

impl State {
    fn place(&self, place: usize) -> LinkFaults {
        self.places.get(&place).copied().unwrap_or_default()
    }

    fn chance(&mut self, once_in: Option<u64>) -> bool {
        once_in.is_some_and(|times| self.random.once_in(times))
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(100 + self.random.below(LATENCY))
    }

    /// When a frame sent now arrives: behind those before it, unless it is delayed.
    fn due(&mut self, link: u64) -> Duration {
        let due = self.clock.elapsed() + self.latency();
        if self.chance(self.frame_faults.late) {
            return due + Duration::from_millis(self.random.below(300));
        }
        let Some(open) = self.links.get_mut(&link) else {
            return due;
        };
        open.last = open.last.max(due);
        open.last
    }

    fn alive(&self, link: u64) -> Result<(), BusError> {
        match self.links.get(&link).map(|open| open.end) {
            Some(None) => Ok(()),
            Some(Some(kind)) => Err(failure(kind)),
            None => Err(failure(BusErrorKind::Unreachable)),
        }
    }
}

fn failure(kind: BusErrorKind) -> BusError {
    BusError::new(kind, "the simulated bus says so")
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waiting = std::mem::take(&mut state.waiting);
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}

fn arrive(server: &Weak<Mutex<State>>, link: u64, inbound: Inbound) {
    let Some(server) = server.upgrade() else {
        return;
    };
    let mut state = server.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(open) = state.links.get(&link) else {
        return;
    };
    let place = state.place(open.place);
    let Some(open) = state.links.get_mut(&link) else {
        return;
    };
    if open.end.is_some() || place.deaf {
        return;
    }
    if open.inbox.len() + open.held.len() >= INBOX {
        open.end = Some(BusErrorKind::Overflow);
    } else if place.held {
        open.held.push_back(inbound);
    } else {
        open.inbox.push_back(inbound);
    }
    wake(state);
}

struct SimulatedBus {
    server: BusServer,
    place: usize,
}

impl fmt::Debug for SimulatedBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimulatedBus").field(&self.place).finish()
    }
}

#[async_trait]
impl Bus for SimulatedBus {
    fn limits(&self) -> Limits {
        Limits::new(FRAME)
    }

    async fn connect(&self) -> Result<Link, BusError> {
        self.server.travel().await;
        let refused = self.server.once(|state| {
            let place = state.place(self.place);
            (!place.hangs).then_some(place.refused)
        });
        if refused.await {
            return Err(failure(BusErrorKind::Unreachable));
        }
        let id = {
            let mut state = self.server.state();
            state.next += 1;
            let id = state.next;
            state.links.insert(
                id,
                Open {
                    place: self.place,
                    lanes: BTreeSet::new(),
                    inbox: VecDeque::new(),
                    held: VecDeque::new(),
                    end: None,
                    last: Duration::ZERO,
                },
            );
            id
        };
        let (server, place) = (self.server.clone(), self.place);
        let link = Arc::new(Half { server, place, id });
        self.server.travel().await;
        Ok(Link {
            frames: frames(link.clone()).boxed(),
            transmit: Box::new(Sender(link)),
        })
    }
}

/// The link ends when both of its halves are gone.
struct Half {
    server: BusServer,
    place: usize,
    id: u64,
}

impl Drop for Half {
    fn drop(&mut self) {
        self.server.state().links.remove(&self.id);
    }
}

fn frames(half: Arc<Half>) -> impl stream::Stream<Item = Result<Inbound, BusError>> + Send {
    stream::unfold((half, false), |(half, over)| async move {
        if over {
            return None;
        }
        let next = half.server.once(|state| {
            let open = state.links.get_mut(&half.id)?;
            match (open.inbox.pop_front(), open.end) {
                (Some(inbound), _) => Some(Ok(inbound)),
                (None, Some(kind)) => Some(Err(failure(kind))),
                (None, None) => None,
            }
        });
        let next = next.await;
        let over = next.is_err();
        Some((next, (half, over)))
    })
}

struct Sender(Arc<Half>);

impl Sender {
    /// Waits until the place has not this fault, or the link is dead.
    async fn unless(&self, trouble: fn(&LinkFaults) -> bool) -> Result<(), BusError> {
        let Half { server, place, id } = &*self.0;
        server
            .once(|state| match state.alive(*id) {
                Ok(()) => (!trouble(&state.place(*place))).then_some(Ok(())),
                dead => Some(dead),
            })
            .await
    }

    fn alive(&self) -> Result<(), BusError> {
        self.0.server.state().alive(self.0.id)
    }

    fn lanes(&self, change: impl FnOnce(&mut BTreeSet<Lane>)) {
        if let Some(open) = self.0.server.state().links.get_mut(&self.0.id) {
            change(&mut open.lanes);
        }
    }
}

#[async_trait]
impl Transmit for Sender {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.0.server.travel().await;
        self.unless(|place| place.unanswered).await?;
        self.lanes(|heard| heard.extend(lanes));
        self.0.server.travel().await;
        self.alive()
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.0.server.travel().await;
        self.alive()?;
        self.lanes(|heard| heard.retain(|lane| !lanes.contains(lane)));
        Ok(())
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        self.alive()?;
        if frames.iter().any(|frame| frame.frame.len() > FRAME) {
            return Err(failure(BusErrorKind::TooLarge));
        }
        for frame in frames {
            // A fault in the middle takes back no frame that was sent.
            self.unless(|place| place.stuck).await?;
            self.0.server.carry(self.0.place, frame);
        }
        self.0.server.travel().await;
        self.alive()
    }

    async fn close(&mut self) -> Result<(), BusError> {
        self.alive()?;
        let mut state = self.0.server.state();
        if let Some(open) = state.links.get_mut(&self.0.id) {
            open.end = Some(BusErrorKind::Unreachable);
        }
        wake(state);
        Ok(())
    }
}
