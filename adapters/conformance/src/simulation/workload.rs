//! The connections and publishers of one node.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Poll;
use std::time::Duration;

use midplane::{Audience, ConnectionId, Reach, Target};

use super::scenario::Scenario;
use crate::history::{EventTag, RecordedConnection, RecordedNode, RecordedPublisher, SinkOutcome};
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::lock::locked;
use midplane_testkit::random::{Draw, Random};
use midplane_testkit::tasks::{ProcessId, Tasks};

/// The topics of connections; those that stay are in the first.
const TOPICS: [&str; 4] = ["lobby", "news", "games", "music"];

/// The most connections of a node that come and go.
const CONNECTIONS: usize = 8;

/// The most events of a burst.
const BURST: u64 = 200;

/// The running nodes, by process.
pub(super) type RunningNodes = Arc<Mutex<BTreeMap<ProcessId, RecordedNode>>>;

/// The connections and publishers of one node. A clone is another handle to them.
#[derive(Clone)]
pub(super) struct Workload(Arc<Inner>);

struct Inner {
    recorded: RecordedNode,
    clock: VirtualClock,
    scenario: Scenario,
    nodes: RunningNodes,
    resting: AtomicBool,
    state: Mutex<State>,
}

struct State {
    random: Random,
    connections: Vec<Arc<RecordedConnection>>,
}

impl Workload {
    pub(super) fn new(
        recorded: RecordedNode,
        clock: VirtualClock,
        scenario: Scenario,
        nodes: RunningNodes,
        random: Random,
    ) -> Self {
        let connections = Vec::new();
        Self(Arc::new(Inner {
            recorded,
            clock,
            scenario,
            nodes,
            resting: AtomicBool::new(false),
            state: Mutex::new(State {
                random,
                connections,
            }),
        }))
    }

    /// Starts two publishers, a connection that stays, and those that come and go.
    pub(super) fn settle(&self, tasks: &Tasks, process: ProcessId) {
        tasks.spawn(process, self.clone().stay());
        for _ in 0..2 {
            tasks.spawn(process, self.clone().publish());
        }
        tasks.spawn(process, self.clone().come_and_go());
    }

    /// Ends the loops at their next pause.
    pub(super) fn rest(&self) {
        self.0.resting.store(true, Ordering::Relaxed);
    }

    /// Drops every connection.
    pub(super) fn leave(&self) {
        self.rest();
        let connections = std::mem::take(&mut self.state().connections);
        drop(connections);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.0.state)
    }

    fn below(&self, bound: u64) -> u64 {
        self.state().random.below(bound)
    }

    fn between(&self, shortest: Duration, longest: Duration) -> Duration {
        self.state().random.between(shortest, longest)
    }

    fn topic(&self) -> Target {
        let topic = TOPICS[self.below(TOPICS.len() as u64) as usize];
        Target::topic(topic).expect("a topic of a few letters")
    }

    /// Waits for up to `millis`; returns false once the workload is to rest.
    async fn wait(&self, millis: u64) -> bool {
        let pause = Duration::from_micros(self.below(millis * 1_000));
        self.0.clock.sleep(pause).await;
        !self.0.resting.load(Ordering::Relaxed)
    }

    /// A well-behaved connection that stays until the end.
    async fn stay(self) {
        let lobby = Target::topic(TOPICS[0]).expect("a topic of a few letters");
        let connection = self
            .0
            .recorded
            .attach(&connection_id("resident"), |_| SinkOutcome::Accepted);
        let _ = connection.associate(&lobby).await;
        connection.await_reach().await;
        // Killed with its process, the connection is dropped and so detached.
        std::future::pending::<()>().await;
        drop(connection);
    }

    async fn publish(self) {
        let mut publisher = self.0.recorded.publisher();
        loop {
            let pause = self.between(Duration::from_millis(1), Duration::from_secs(4));
            self.0.clock.sleep(pause).await;
            // One publish in 24 is a burst, of 10 to 200,000 events a second.
            let burst = if self.below(24) == 0 {
                1 + self.below(BURST)
            } else {
                1
            };
            let pause = self.between(Duration::from_micros(5), Duration::from_millis(100));
            for which in 0..burst {
                if which > 0 {
                    self.0.clock.sleep(pause).await;
                }
                if self.0.resting.load(Ordering::Relaxed) {
                    return;
                }
                let audience = self.audience();
                let padding = self.below(120) as usize;
                let _ = publisher.publish(&audience, padding);
            }
        }
    }

    fn audience(&self) -> Audience {
        let audience = Audience::from(self.topic());
        match self.below(8) {
            0 => audience.or(self.topic()),
            1 => audience.or(self.topic()).except(self.guest()),
            2 => audience.except(self.guest()),
            3 => Target::Connection(self.guest()).into(),
            _ => audience,
        }
    }

    fn guest(&self) -> ConnectionId {
        connection_id(&format!("c{}", self.below(6)))
    }

    async fn come_and_go(self) {
        while self.wait(300).await {
            let connections = self.state().connections.clone();
            let connection = self.state().random.pick(&connections).cloned();
            match (self.below(8), connection) {
                (0 | 1, _) | (_, None) => {
                    if let Some(connection) = self.attach() {
                        self.perhaps(connection.await_reach()).await;
                    }
                }
                (2 | 3, Some(connection)) => {
                    let topic = self.topic();
                    let associated = connection.associate(&topic);
                    if let Some(Ok(Reach::Everywhere)) = self.perhaps(associated).await {
                        self.greet(topic);
                    }
                }
                (4, Some(connection)) => connection.dissociate(&self.topic()),
                (5, Some(connection)) => {
                    self.forget(&connection);
                    let detached = connection.detach();
                    let _ = self.perhaps(detached).await;
                }
                (6, Some(connection)) => self.forget(&connection),
                _ => {
                    let plane = self.0.recorded.plane().clone();
                    let _ = self.perhaps(plane.flush()).await;
                }
            }
        }
    }

    fn forget(&self, connection: &Arc<RecordedConnection>) {
        let connections = &mut self.state().connections;
        connections.retain(|other| !Arc::ptr_eq(other, connection));
    }

    /// Awaits the future; or, if the scenario cancels, may drop it after up to three polls.
    async fn perhaps<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        if !self.0.scenario.cancels || self.below(2) == 0 {
            // A future that hangs with the bus ends when the bus is back.
            return Some(future.await);
        }
        let mut polls = self.below(4);
        let mut future = pin!(future);
        poll_fn(|context| {
            if polls == 0 {
                return Poll::Ready(None);
            }
            polls -= 1;
            future.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// Publishes to the target on another node: by now the target is to be reached from everywhere.
    fn greet(&self, target: Target) {
        let others: Vec<RecordedNode> = {
            let all = locked(&self.0.nodes);
            let others = all
                .values()
                .filter(|other| other.id() != self.0.recorded.id());
            others.cloned().collect()
        };
        let other = self.state().random.pick(&others).cloned();
        if let Some(other) = other {
            let _ = other.publisher().publish(&target.into(), 2);
        }
    }

    fn attach(&self) -> Option<Arc<RecordedConnection>> {
        if self.state().connections.len() >= CONNECTIONS {
            return None;
        }
        let id = self.guest();
        let behaviour = match self.0.scenario.misbehaviour {
            true => self.behaviour(),
            false => SinkBehaviour::Fine,
        };
        let workload = Arc::downgrade(&self.0);
        let salt = self.below(u64::MAX);
        let connection = self
            .0
            .recorded
            .attach(&id, move |tag| behave(behaviour, &workload, salt, tag));
        let connection = Arc::new(connection);
        self.state().connections.push(connection.clone());
        Some(connection)
    }

    fn behaviour(&self) -> SinkBehaviour {
        const BEHAVIOURS: [SinkBehaviour; 8] = [
            SinkBehaviour::Fine,
            SinkBehaviour::Fine,
            SinkBehaviour::Full,
            SinkBehaviour::Closes,
            SinkBehaviour::Panics,
            SinkBehaviour::Publishes,
            SinkBehaviour::Detaches,
            SinkBehaviour::Attaches,
        ];
        BEHAVIOURS[self.below(BEHAVIOURS.len() as u64) as usize]
    }
}

/// How a sink behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SinkBehaviour {
    Fine,
    Full,
    Closes,
    Panics,
    Publishes,
    Detaches,
    Attaches,
}

/// What a sink does with an event, equal for equal events. A sink misbehaves at one event in four.
fn behave(
    behaviour: SinkBehaviour,
    workload: &Weak<Inner>,
    salt: u64,
    tag: Option<EventTag>,
) -> SinkOutcome {
    let tag = tag.map_or(0, |tag| {
        u64::from(tag.publisher) << 32 | u64::from(tag.number)
    });
    let mut chance = Random::new(salt ^ tag);
    if behaviour == SinkBehaviour::Fine || !chance.once_in(4) {
        return SinkOutcome::Accepted;
    }
    let Some(workload) = workload.upgrade().map(Workload) else {
        return SinkOutcome::Accepted;
    };
    match behaviour {
        SinkBehaviour::Fine => {}
        SinkBehaviour::Full => return SinkOutcome::Full,
        SinkBehaviour::Closes => return SinkOutcome::Closed,
        SinkBehaviour::Panics => return SinkOutcome::Panicked,
        SinkBehaviour::Publishes => {
            // One in two, so that sinks do not call each other for ever.
            if chance.once_in(2) {
                let mut publisher: RecordedPublisher = workload.0.recorded.publisher();
                let aside = Target::Connection(workload.guest()).into();
                let _ = publisher.publish(&aside, 1);
            }
        }
        SinkBehaviour::Detaches => {
            let connections = workload.state().connections.clone();
            if let Some(connection) = chance.pick(&connections) {
                // Inside a sink a detach does not wait.
                drop(connection.detach());
            }
        }
        SinkBehaviour::Attaches => drop(workload.attach()),
    }
    SinkOutcome::Accepted
}

fn connection_id(id: &str) -> ConnectionId {
    ConnectionId::new(id).expect("an id of a few letters")
}
