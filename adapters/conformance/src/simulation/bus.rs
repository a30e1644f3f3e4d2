//! A bus that does everything to its nodes that a bus may do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use midplane::bus::{Bus, BusError, BusErrorKind, Inbound, Lane, Limits, Link, Outbound, Transmit};

use super::lanes::AffectedLanes;
use super::newer::as_newer;
use super::scenario::Fault;
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::lock::locked;
use midplane_testkit::random::{Draw, Random};

/// The largest frame, in bytes: a burst needs several.
pub(super) const FRAME: usize = 2_048;

/// The most frames that wait in a link before it overflows.
const INBOX: usize = 400;

/// How much later than others a late frame arrives, at most.
pub(super) const LATE: Duration = Duration::from_millis(300);

/// What is wrong between one node and the bus.
#[derive(Debug, Clone)]
pub(super) struct LinkFault {
    pub(super) fault: Fault,
    /// The lanes whose frames it affects; connecting and sending know no lanes.
    pub(super) lanes: AffectedLanes,
    /// How long a frame that is slow is on its way.
    pub(super) slow: Duration,
}

/// What is wrong with one frame in `times`.
#[derive(Debug, Clone)]
pub(super) struct FrameFault {
    pub(super) fault: Fault,
    pub(super) lanes: AffectedLanes,
    pub(super) times: u64,
}

/// The server between the nodes. A clone is another handle to it.
#[derive(Clone)]
pub(super) struct BusServer(Arc<Mutex<State>>);

struct State {
    clock: VirtualClock,
    random: Random,
    /// The longest way between a node and the bus.
    latency: Duration,
    /// Whether nodes do not receive their own frames without an echo, and those with one take longer.
    spares: bool,
    /// What is wrong between the node at a place and the bus.
    link_faults: BTreeMap<usize, LinkFault>,
    frame_fault: Option<FrameFault>,
    /// The places of nodes of a newer release.
    newer: BTreeSet<usize>,
    /// Whether connecting is refused everywhere.
    down: bool,
    next: u64,
    links: BTreeMap<u64, Open>,
    /// Tasks that wait for a change.
    waiting: Vec<Waker>,
}

#[derive(Default)]
struct Open {
    place: usize,
    lanes: BTreeSet<Lane>,
    inbox: VecDeque<Inbound>,
    /// Frames that arrived while the place was held.
    held: VecDeque<Inbound>,
    end: Option<BusErrorKind>,
    /// When the last frame on its way arrives, by lane and by whether frames with an echo go another way: none overtakes it
    /// there.
    last: BTreeMap<(Lane, bool), Duration>,
}

impl BusServer {
    pub(super) fn new(
        clock: VirtualClock,
        random: Random,
        latency: Duration,
        spares: bool,
    ) -> Self {
        Self(Arc::new(Mutex::new(State {
            clock,
            random,
            latency,
            spares,
            link_faults: BTreeMap::new(),
            frame_fault: None,
            newer: BTreeSet::new(),
            down: false,
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

    /// Something is wrong at a place from now on.
    pub(super) fn inject(&self, place: usize, fault: LinkFault) {
        self.state().link_faults.insert(place, fault);
    }

    /// Nothing is wrong at a place any more.
    pub(super) fn heal(&self, place: usize) {
        let mut state = self.state();
        state.link_faults.remove(&place);
        let links = state.links.values_mut();
        for open in links.filter(|open| open.place == place) {
            open.inbox.append(&mut open.held);
        }
        wake(state);
    }

    pub(super) fn set_frame_fault(&self, frame_fault: Option<FrameFault>) {
        self.state().frame_fault = frame_fault;
    }

    /// The node at a place is of a newer release, or is not.
    pub(super) fn set_newer(&self, place: usize, newer: bool) {
        let places = &mut self.state().newer;
        match newer {
            true => places.insert(place),
            false => places.remove(&place),
        };
    }

    pub(super) fn set_down(&self, down: bool) {
        self.state().down = down;
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

    /// Drops subscriptions of a place without an error, as a server that lost them does.
    pub(super) fn forget(&self, place: usize, lanes: AffectedLanes) {
        let mut state = self.state();
        let links = state.links.values_mut();
        for open in links.filter(|open| open.place == place) {
            open.lanes.retain(|lane| !lanes.include(*lane));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.0)
    }

    /// Waits until `look` finds something in the state.
    async fn once<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        poll_fn(|context| {
            let mut state = self.state();
            if let Some(found) = look(&mut state) {
                return Poll::Ready(found);
            }
            let mut waiting = state.waiting.iter();
            if !waiting.any(|waker| waker.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
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

    /// Delivers a frame of a link to every link that subscribed its lane.
    fn carry(&self, from: usize, link: u64, frame: &Outbound) {
        let mut state = self.state();
        if state.affects(from, frame.lane, &[Fault::Mute, Fault::Apart]) {
            return;
        }
        let bytes = match state.newer.contains(&from) {
            true => as_newer(&frame.frame, FRAME),
            false => frame.frame.clone(),
        };
        let to: Vec<u64> = state
            .links
            .iter()
            .filter(|(id, _)| frame.echo || !state.spares || **id != link)
            .filter(|(_, open)| open.lanes.contains(&frame.lane))
            .map(|(id, _)| *id)
            .collect();
        for id in to {
            if state.chance(Fault::Lost, frame.lane) {
                continue;
            }
            let copies = 1 + u8::from(state.chance(Fault::Repeated, frame.lane));
            for _ in 0..copies {
                let due = state.due(id, frame);
                let inbound = Inbound {
                    lane: frame.lane,
                    frame: bytes.clone(),
                };
                let server = Arc::downgrade(&self.0);
                let clock = state.clock.clone();
                clock.at(due, move || arrive(&server, id, inbound));
            }
        }
    }
}

impl State {
    /// Whether one of the faults is in progress at a place.
    fn has(&self, place: usize, faults: &[Fault]) -> bool {
        let wrong = self.link_faults.get(&place);
        wrong.is_some_and(|wrong| faults.contains(&wrong.fault))
    }

    /// Whether one of the faults is in progress at a place and affects the frames of a lane.
    fn affects(&self, place: usize, lane: Lane, faults: &[Fault]) -> bool {
        let wrong = self.link_faults.get(&place);
        wrong.is_some_and(|wrong| faults.contains(&wrong.fault) && wrong.lanes.include(lane))
    }

    /// Whether the frame fault in progress is this one and affects the next frame of the lane.
    fn chance(&mut self, fault: Fault, lane: Lane) -> bool {
        let Some(wrong) = &self.frame_fault else {
            return false;
        };
        wrong.fault == fault && wrong.lanes.include(lane) && self.random.once_in(wrong.times)
    }

    /// One way between a node and the bus.
    fn latency(&mut self) -> Duration {
        let longest = self.latency.as_micros() as u64;
        Duration::from_micros(longest / 8 + self.random.below(longest))
    }

    /// When a frame sent now arrives: behind those of the lane before it, unless it is delayed.
    fn due(&mut self, link: u64, frame: &Outbound) -> Duration {
        let lane = frame.lane;
        let mut due = self.clock.elapsed() + self.latency();
        let other_way = self.spares && frame.echo;
        if other_way {
            due += self.latency();
        }
        if self.chance(Fault::Late, lane) {
            return due + Duration::from_millis(self.random.below(LATE.as_millis() as u64));
        }
        let place = self.links.get(&link).map(|open| open.place);
        if let Some(place) = place.filter(|place| self.affects(*place, lane, &[Fault::Slow])) {
            due += self.link_faults[&place].slow;
        }
        let Some(open) = self.links.get_mut(&link) else {
            return due;
        };
        let last = open.last.entry((lane, other_way)).or_default();
        *last = due.max(*last);
        *last
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
    let mut state = locked(&server);
    let Some(place) = state.links.get(&link).map(|open| open.place) else {
        return;
    };
    let deaf = state.affects(place, inbound.lane, &[Fault::Deaf, Fault::Apart]);
    let held = state.affects(place, inbound.lane, &[Fault::Held]);
    let open = state.links.get_mut(&link);
    let Some(open) = open.filter(|open| open.end.is_none() && !deaf) else {
        return;
    };
    if open.inbox.len() + open.held.len() >= INBOX {
        open.end = Some(BusErrorKind::Overflow);
    } else if held {
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

    fn prefix(&self) -> &str {
        "simulated"
    }

    async fn connect(&self) -> Result<Link, BusError> {
        self.server.travel().await;
        let refused = self.server.once(|state| {
            let refused = state.down || state.has(self.place, &[Fault::Refused]);
            (!state.has(self.place, &[Fault::Hanging])).then_some(refused)
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
                    ..Open::default()
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
    async fn unless(&self, fault: Fault) -> Result<(), BusError> {
        let Half { server, place, id } = &*self.0;
        server
            .once(|state| match state.alive(*id) {
                Ok(()) => (!state.has(*place, &[fault])).then_some(Ok(())),
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
        self.unless(Fault::Unanswered).await?;
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
            self.unless(Fault::Stuck).await?;
            self.0.server.carry(self.0.place, self.0.id, frame);
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
