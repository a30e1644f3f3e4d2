//! The connections and publishers of one node.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use midplane::{Audience, ConnectionId, Reach, Target};

use super::scenario::Scenario;
use crate::history::{Mark, Outcome, Person, Publisher, Witness};
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::random::{Draw, Random};
use midplane_testkit::tasks::{Owner, Tasks};

/// What connections join. The first one is that of those who stay.
const TOPICS: [&str; 4] = ["lobby", "news", "games", "music"];

/// How many connections there are at a node at the most.
const PEOPLE: usize = 8;

/// The nodes that run.
pub(super) type Everyone = Arc<Mutex<BTreeMap<Owner, Witness>>>;

/// A clone is the same crowd.
#[derive(Clone)]
pub(super) struct Crowd(Arc<Inner>);

struct Inner {
    witness: Witness,
    clock: VirtualClock,
    scenario: Scenario,
    everyone: Everyone,
    resting: AtomicBool,
    state: Mutex<State>,
}

struct State {
    random: Random,
    people: Vec<Arc<Person>>,
}

impl Crowd {
    pub(super) fn new(
        witness: Witness,
        clock: VirtualClock,
        scenario: Scenario,
        everyone: Everyone,
        random: Random,
    ) -> Self {
        let people = Vec::new();
        Self(Arc::new(Inner {
            witness,
            clock,
            scenario,
            everyone,
            resting: AtomicBool::new(false),
            state: Mutex::new(State { random, people }),
        }))
    }

    /// Starts those who publish and those who come and go.
    pub(super) fn settle(&self, tasks: &Tasks, owner: Owner) {
        tasks.spawn(owner, self.clone().stay());
        for _ in 0..2 {
            tasks.spawn(owner, self.clone().publish());
        }
        tasks.spawn(owner, self.clone().come_and_go());
    }

    /// Nobody does anything any more.
    pub(super) fn rest(&self) {
        self.0.resting.store(true, Ordering::Relaxed);
    }

    /// Everybody is gone.
    pub(super) fn leave(&self) {
        self.rest();
        let people = std::mem::take(&mut self.state().people);
        drop(people);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.0.state)
    }

    fn below(&self, bound: u64) -> u64 {
        self.state().random.below(bound)
    }

    fn topic(&self) -> Target {
        let topic = TOPICS[self.below(TOPICS.len() as u64) as usize];
        Target::topic(topic).expect("a topic of a few letters")
    }

    /// Waits for a while; true until all is quiet.
    async fn wait(&self, millis: u64) -> bool {
        let pause = Duration::from_micros(self.below(millis * 1_000));
        self.0.clock.sleep(pause).await;
        !self.0.resting.load(Ordering::Relaxed)
    }

    /// A well-behaved connection that is there until the end.
    async fn stay(self) {
        let lobby = Target::topic(TOPICS[0]).expect("a topic of a few letters");
        let person = self
            .0
            .witness
            .attach(&connection("resident"), |_| Outcome::Accepted);
        let _ = person.associate(&lobby).await;
        // Killed with its owner, it is dropped and so detached.
        std::future::pending::<()>().await;
        drop(person);
    }

    async fn publish(self) {
        let mut publisher = self.0.witness.publisher();
        while self.wait(500).await {
            // Sometimes many at once.
            let burst = if self.below(24) == 0 { 30 } else { 1 };
            for _ in 0..burst {
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
            1 => audience.or(self.topic()).except(self.stranger()),
            2 => audience.except(self.stranger()),
            3 => Target::Connection(self.stranger()).into(),
            _ => audience,
        }
    }

    fn stranger(&self) -> ConnectionId {
        connection(&format!("c{}", self.below(6)))
    }

    async fn come_and_go(self) {
        while self.wait(300).await {
            let people = self.state().people.clone();
            let person = self.state().random.pick(&people).cloned();
            match (self.below(8), person) {
                (0 | 1, _) | (_, None) => {
                    self.attach();
                }
                (2 | 3, Some(person)) => {
                    let topic = self.topic();
                    let associated = person.associate(&topic);
                    if let Some(Ok(Reach::Everywhere)) = self.perhaps(associated).await {
                        self.greet(topic);
                    }
                }
                (4, Some(person)) => person.dissociate(&self.topic()),
                (5, Some(person)) => {
                    self.state()
                        .people
                        .retain(|other| !Arc::ptr_eq(other, &person));
                    let detached = person.detach();
                    let _ = self.perhaps(detached).await;
                }
                (6, Some(person)) => {
                    self.state()
                        .people
                        .retain(|other| !Arc::ptr_eq(other, &person));
                }
                _ => {
                    let plane = self.0.witness.plane().clone();
                    let _ = self.perhaps(plane.flush()).await;
                }
            }
        }
    }

    /// The future's value; or, if futures are dropped here, perhaps none.
    async fn perhaps<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        if !self.0.scenario.cancels || self.below(2) == 0 {
            // What hangs with the bus is not waited for longer than the bus is away.
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

    /// Somebody on another node publishes to the target: it is said to be reached from everywhere by now.
    fn greet(&self, target: Target) {
        let others: Vec<Witness> = {
            let all = locked(&self.0.everyone);
            let others = all
                .values()
                .filter(|other| other.node() != self.0.witness.node());
            others.cloned().collect()
        };
        let other = self.state().random.pick(&others).cloned();
        if let Some(other) = other {
            let _ = other.publisher().publish(&target.into(), 2);
        }
    }

    fn attach(&self) {
        if self.state().people.len() >= PEOPLE {
            return;
        }
        let id = self.stranger();
        let manner = match self.0.scenario.manners {
            true => self.manner(),
            false => Manner::Fine,
        };
        let crowd = Arc::downgrade(&self.0);
        let salt = self.below(u64::MAX);
        let person = self
            .0
            .witness
            .attach(&id, move |mark| behave(manner, &crowd, salt, mark));
        self.state().people.push(Arc::new(person));
    }

    fn manner(&self) -> Manner {
        const MANNERS: [Manner; 8] = [
            Manner::Fine,
            Manner::Fine,
            Manner::Full,
            Manner::Closes,
            Manner::Panics,
            Manner::Publishes,
            Manner::Detaches,
            Manner::Attaches,
        ];
        MANNERS[self.below(MANNERS.len() as u64) as usize]
    }
}

/// How a sink behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Fine,
    Full,
    Closes,
    Panics,
    Publishes,
    Detaches,
    Attaches,
}

/// What a sink does with an event, the same for the same event. Sinks misbehave at one event in four.
fn behave(manner: Manner, crowd: &Weak<Inner>, salt: u64, mark: Option<Mark>) -> Outcome {
    let mark = mark.map_or(0, |mark| {
        u64::from(mark.publisher) << 32 | u64::from(mark.number)
    });
    let mut chance = Random::new(salt ^ mark);
    if manner == Manner::Fine || !chance.once_in(4) {
        return Outcome::Accepted;
    }
    let Some(crowd) = crowd.upgrade().map(Crowd) else {
        return Outcome::Accepted;
    };
    match manner {
        Manner::Fine => {}
        Manner::Full => return Outcome::Full,
        Manner::Closes => return Outcome::Closed,
        Manner::Panics => return Outcome::Panicked,
        Manner::Publishes => {
            // Nobody is told of by whom it is published, so that sinks do not call each other for ever.
            if chance.once_in(2) {
                let mut publisher: Publisher = crowd.0.witness.publisher();
                let aside = Target::Connection(crowd.stranger()).into();
                let _ = publisher.publish(&aside, 1);
            }
        }
        Manner::Detaches => {
            let people = crowd.state().people.clone();
            if let Some(person) = chance.pick(&people) {
                // Inside a sink it only marks.
                drop(person.detach());
            }
        }
        Manner::Attaches => crowd.attach(),
    }
    Outcome::Accepted
}

fn connection(id: &str) -> ConnectionId {
    ConnectionId::new(id).expect("an id of a few letters")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under a lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
