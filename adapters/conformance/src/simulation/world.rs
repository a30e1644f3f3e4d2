//! The places where nodes run, and what befalls them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use midplane::Cluster;
use midplane::envelope::NodeId;
use midplane::node::Config;

use super::bus::{Hub, Weather};
use super::crowd::{Crowd, Everyone};
use super::scenario::{Fault, HEARTBEAT, LONGEST, Scenario, TIME_TO_LIVE};
use crate::history::{Fact, Recorder, Tapped, Witness};
use midplane_testkit::clock::{NodeClock, VirtualClock};
use midplane_testkit::random::{Draw, Random};
use midplane_testkit::tasks::{Owner, Tasks};

/// Whose tasks are not those of a node.
pub(super) const NOBODY: Owner = Owner(0);

/// A clone is the same world.
#[derive(Clone)]
pub(super) struct World(Arc<Inner>);

struct Inner {
    scenario: Scenario,
    clock: VirtualClock,
    tasks: Tasks,
    hub: Hub,
    recorder: Recorder,
    everyone: Everyone,
    state: Mutex<State>,
}

struct State {
    random: Random,
    places: Vec<Place>,
    next: u64,
    /// How many things are wrong.
    wrong: usize,
}

struct Place {
    life: Option<Life>,
    /// Whether something is wrong here that only one thing can be at a time.
    busy: bool,
}

/// One start of one process.
#[derive(Clone)]
struct Life {
    owner: Owner,
    timer: NodeClock,
    witness: Witness,
    crowd: Crowd,
}

impl World {
    pub(super) fn new(seed: u64, scenario: Scenario) -> Self {
        let mut random = Random::new(seed);
        let clock = VirtualClock::default();
        let tasks = Tasks::new(clock.clone(), Random::new(random.draw()));
        let hub = Hub::new(clock.clone(), Random::new(random.draw()));
        let time = clock.clone();
        let recorder = Recorder::new(move || time.now());
        let places = 2 + random.below(2) as usize;
        let vacant = || Place {
            life: None,
            busy: false,
        };
        let state = State {
            random,
            places: std::iter::repeat_with(vacant).take(places).collect(),
            next: 0,
            wrong: 0,
        };
        let world = Self(Arc::new(Inner {
            scenario,
            clock,
            tasks,
            hub,
            recorder,
            everyone: Everyone::default(),
            state: Mutex::new(state),
        }));
        for place in 0..places {
            world.start(place);
        }
        world
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under the lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn everyone(&self) -> MutexGuard<'_, BTreeMap<Owner, Witness>> {
        let everyone = self.0.everyone.lock();
        everyone.unwrap_or_else(PoisonError::into_inner)
    }

    fn below(&self, bound: u64) -> u64 {
        self.state().random.below(bound)
    }

    fn start(&self, place: usize) {
        let Inner {
            scenario,
            clock,
            tasks,
            hub,
            recorder,
            ..
        } = &*self.0;
        let (number, random) = {
            let mut state = self.state();
            state.next += 1;
            (state.next, Random::new(state.random.draw()))
        };
        let owner = Owner(number);
        let timer = NodeClock::new(clock.clone());
        let id = NodeId([number as u8; 16]);
        let config = Config {
            heartbeat: HEARTBEAT,
            time_to_live: TIME_TO_LIVE,
            lanes: scenario.lanes,
            cool_down: HEARTBEAT * 3,
            queue: scenario.queue,
            ..Config::default()
        };
        let bus = Arc::new(Tapped::new(hub.bus(place), recorder.clone()));
        let (cluster, driver) = Cluster::new(id, bus, Arc::new(timer.clone()), config);
        let shown = timer.clone();
        let witness = Witness::new(
            id,
            Arc::new(cluster),
            config,
            recorder.clone(),
            move |time| shown.moment(time),
        );
        tasks.spawn(owner, witness.listen());
        tasks.spawn(owner, driver);
        let everyone = self.0.everyone.clone();
        self.everyone().insert(owner, witness.clone());
        let crowd = Crowd::new(witness.clone(), clock.clone(), *scenario, everyone, random);
        crowd.settle(tasks, owner);
        self.state().places[place].life = Some(Life {
            owner,
            timer,
            witness,
            crowd,
        });
    }

    /// Breaks things until then.
    pub(super) async fn break_until(self, end: Duration) {
        if self.0.scenario.faults.is_empty() {
            return;
        }
        loop {
            let pause = Duration::from_millis(self.below(1_500));
            if self.0.clock.now() + pause >= end {
                return;
            }
            self.0.clock.sleep(pause).await;
            let fault = self.state().random.pick(self.0.scenario.faults).copied();
            let place = self.below(self.state_places()) as usize;
            // Most are over soon, and some outlast everything that waits for them.
            let longest = if self.below(3) == 0 { 7_000 } else { 700 };
            let length = Duration::from_millis(1 + self.below(longest)).min(LONGEST);
            let length = length.min(end.saturating_sub(self.0.clock.now()));
            if let Some(fault) = fault {
                let world = self.clone();
                let task = async move { world.suffer(fault, place, length).await };
                self.0.tasks.spawn(NOBODY, task);
            }
        }
    }

    fn state_places(&self) -> u64 {
        self.state().places.len() as u64
    }

    async fn suffer(self, fault: Fault, place: usize, length: Duration) {
        {
            let mut state = self.state();
            if std::mem::replace(&mut state.places[place].busy, true) {
                return;
            }
            state.wrong += 1;
            if state.wrong == 1 {
                self.0.recorder.note(Fact::Broken);
            }
        }
        self.befall(fault, place, length).await;
        let mut state = self.state();
        state.places[place].busy = false;
        state.wrong -= 1;
        if state.wrong == 0 {
            self.0.recorder.note(Fact::Healed);
        }
    }

    async fn befall(&self, fault: Fault, place: usize, length: Duration) {
        let Inner {
            hub, clock, tasks, ..
        } = &*self.0;
        let Some(life) = self.state().places[place].life.clone() else {
            return;
        };
        let node = life.witness.node();
        match fault {
            Fault::Lost | Fault::Repeated | Fault::Late => {
                let often = Some(2 + self.below(10));
                hub.weather(Weather {
                    lost: often.filter(|_| fault == Fault::Lost),
                    repeated: often.filter(|_| fault == Fault::Repeated),
                    late: often.filter(|_| fault == Fault::Late),
                });
                clock.sleep(length).await;
                hub.weather(Weather::default());
            }
            Fault::Cut => hub.cut(Some(place)),
            Fault::Down => {
                let places = self.state_places() as usize;
                (0..places).for_each(|place| hub.change(place, |place| place.refused = true));
                hub.cut(None);
                clock.sleep(length).await;
                (0..places).for_each(|place| hub.change(place, |place| place.refused = false));
            }
            Fault::Refused | Fault::Hanging | Fault::Unanswered => {
                let set = move |on: bool| {
                    hub.change(place, |place| match fault {
                        Fault::Refused => place.refused = on,
                        Fault::Hanging => place.hangs = on,
                        _ => place.unanswered = on,
                    });
                };
                set(true);
                hub.cut(Some(place));
                clock.sleep(length).await;
                set(false);
            }
            Fault::Stuck => {
                hub.change(place, |place| place.stuck = true);
                clock.sleep(length).await;
                hub.change(place, |place| place.stuck = false);
            }
            Fault::Held => {
                hub.change(place, |place| place.held = true);
                clock.sleep(length).await;
                hub.change(place, |place| place.held = false);
            }
            Fault::Deaf | Fault::Mute | Fault::Apart => {
                self.0.recorder.note(Fact::Cut(node));
                hub.change(place, |place| {
                    place.deaf = fault != Fault::Mute;
                    place.mute = fault != Fault::Deaf;
                });
                clock.sleep(length).await;
                hub.change(place, |place| (place.deaf, place.mute) = (false, false));
                self.0.recorder.note(Fact::Mended(node));
            }
            // It is over when the node has found out.
            Fault::Forgotten => {
                hub.forget(place);
                clock.sleep(HEARTBEAT * 4).await;
            }
            Fault::Stalled | Fault::Asleep => {
                if fault == Fault::Asleep {
                    life.timer.stop(length);
                }
                tasks.stop(life.owner);
                clock.sleep(length).await;
                tasks.go_on(life.owner);
            }
            Fault::Stopped => {
                life.timer.stop(length);
                clock.sleep(length).await;
            }
            // It is over when the node has found out.
            Fault::Leapt => {
                life.timer.leap(length);
                clock.sleep(HEARTBEAT * 4).await;
            }
            Fault::Crashed => {
                self.0.recorder.note(Fact::Crashed(node));
                self.vacate(place, &life);
                clock.sleep(length).await;
                self.start(place);
            }
            Fault::Closed => {
                let _ = life.witness.close(length).await;
                self.vacate(place, &life);
                self.start(place);
            }
        }
    }

    fn vacate(&self, place: usize, life: &Life) {
        self.everyone().remove(&life.owner);
        self.state().places[place].life = None;
        self.0.tasks.kill(life.owner);
        life.crowd.leave();
    }

    /// Ends every node; what is written down from now on is of another history.
    pub(super) fn end(&self) {
        let lives: Vec<Life> = {
            let mut state = self.state();
            let places = state.places.iter_mut();
            places.filter_map(|place| place.life.take()).collect()
        };
        for life in lives {
            self.0.tasks.kill(life.owner);
            life.crowd.leave();
        }
        self.everyone().clear();
        self.0.tasks.kill(NOBODY);
    }

    /// Nobody does anything any more.
    pub(super) fn quiet(&self) {
        for place in &self.state().places {
            if let Some(life) = &place.life {
                life.crowd.rest();
            }
        }
    }
}
