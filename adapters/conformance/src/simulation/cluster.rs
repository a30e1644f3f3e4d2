//! The places where nodes run, and the faults that are injected there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use midplane::Cluster;
use midplane::envelope::NodeId;
use midplane::node::Config;

use super::bus::BusServer;
use super::scenario::{Fault, HEARTBEAT, LONGEST, Scenario, TIME_TO_LIVE};
use super::workload::{RunningNodes, Workload};
use crate::history::{Fact, RecordedNode, Recorder, TappedBus};
use midplane_testkit::clock::{NodeClock, VirtualClock};
use midplane_testkit::lock::locked;
use midplane_testkit::random::{Draw, Random};
use midplane_testkit::tasks::{ProcessId, Tasks};

/// The process of tasks that belong to no node.
pub(super) const NO_PROCESS: ProcessId = ProcessId(0);

/// Nodes in simulated time. A clone is another handle to the cluster.
#[derive(Clone)]
pub(super) struct SimulatedCluster(Arc<Inner>);

struct Inner {
    scenario: Scenario,
    clock: VirtualClock,
    tasks: Tasks,
    server: BusServer,
    recorder: Recorder,
    nodes: RunningNodes,
    state: Mutex<State>,
}

struct State {
    random: Random,
    places: Vec<Slot>,
    next: u64,
    /// The number of faults in progress.
    wrong: usize,
}

#[derive(Default)]
struct Slot {
    running: Option<RunningNode>,
    /// Whether a fault is in progress here; there is one at a time.
    busy: bool,
}

/// One start of one process.
#[derive(Clone)]
struct RunningNode {
    process: ProcessId,
    timer: NodeClock,
    recorded: RecordedNode,
    workload: Workload,
}

impl SimulatedCluster {
    pub(super) fn new(seed: u64, scenario: Scenario) -> Self {
        let mut random = Random::new(seed);
        let clock = VirtualClock::default();
        let tasks = Tasks::new(clock.clone(), Random::new(random.draw()));
        let server = BusServer::new(clock.clone(), Random::new(random.draw()));
        let time = clock.clone();
        let recorder = Recorder::new(move || time.elapsed());
        let places = 2 + random.below(2) as usize;
        let state = State {
            random,
            places: std::iter::repeat_with(Slot::default).take(places).collect(),
            next: 0,
            wrong: 0,
        };
        let cluster = Self(Arc::new(Inner {
            scenario,
            clock,
            tasks,
            server,
            recorder,
            nodes: RunningNodes::default(),
            state: Mutex::new(state),
        }));
        for place in 0..places {
            cluster.start(place);
        }
        cluster
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.0.state)
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<ProcessId, RecordedNode>> {
        locked(&self.0.nodes)
    }

    fn below(&self, bound: u64) -> u64 {
        self.state().random.below(bound)
    }

    fn start(&self, place: usize) {
        let Inner {
            scenario,
            clock,
            tasks,
            server,
            recorder,
            ..
        } = &*self.0;
        let (number, random) = {
            let mut state = self.state();
            state.next += 1;
            (state.next, Random::new(state.random.draw()))
        };
        let process = ProcessId(number);
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
        let bus = Arc::new(TappedBus::new(server.bus(place), recorder.clone()));
        let (cluster, driver) = Cluster::new(id, bus, Arc::new(timer.clone()), config);
        let shown = timer.clone();
        let recorded = RecordedNode::new(
            id,
            Arc::new(cluster),
            config,
            recorder.clone(),
            move |time| shown.moment(time),
        );
        tasks.spawn(process, recorded.record_notices());
        tasks.spawn(process, driver);
        let nodes = self.0.nodes.clone();
        self.nodes().insert(process, recorded.clone());
        let workload = Workload::new(recorded.clone(), clock.clone(), *scenario, nodes, random);
        workload.settle(tasks, process);
        self.state().places[place].running = Some(RunningNode {
            process,
            timer,
            recorded,
            workload,
        });
    }

    /// Injects faults at random until then.
    pub(super) async fn break_until(self, end: Duration) {
        if self.0.scenario.faults.is_empty() {
            return;
        }
        loop {
            let pause = Duration::from_millis(self.below(1_500));
            if self.0.clock.elapsed() + pause >= end {
                return;
            }
            self.0.clock.sleep(pause).await;
            let fault = self.state().random.pick(self.0.scenario.faults).copied();
            let places = self.state().places.len() as u64;
            let place = self.below(places) as usize;
            // Most last up to 0.7 s, and one in three up to 7 s, longer than an event lives.
            let longest = if self.below(3) == 0 { 7_000 } else { 700 };
            let length = Duration::from_millis(1 + self.below(longest)).min(LONGEST);
            let length = length.min(end.saturating_sub(self.0.clock.elapsed()));
            if let Some(fault) = fault {
                let cluster = self.clone();
                let task = async move { cluster.run_fault(fault, place, length).await };
                self.0.tasks.spawn(NO_PROCESS, task);
            }
        }
    }

    async fn run_fault(self, fault: Fault, place: usize, length: Duration) {
        {
            let mut state = self.state();
            if std::mem::replace(&mut state.places[place].busy, true) {
                return;
            }
            state.wrong += 1;
            if state.wrong == 1 {
                self.0.recorder.record(Fact::FaultBegan);
            }
        }
        self.inject(fault, place, length).await;
        let mut state = self.state();
        state.places[place].busy = false;
        state.wrong -= 1;
        if state.wrong == 0 {
            self.0.recorder.record(Fact::FaultEnded);
        }
    }

    async fn inject(&self, fault: Fault, place: usize, length: Duration) {
        let Inner {
            server,
            clock,
            tasks,
            ..
        } = &*self.0;
        let Some(running) = self.state().places[place].running.clone() else {
            return;
        };
        let node = running.recorded.id();
        match fault {
            Fault::Lost | Fault::Repeated | Fault::Late => {
                server.set_frame_fault(Some((fault, 2 + self.below(10))));
                clock.sleep(length).await;
                server.set_frame_fault(None);
            }
            Fault::Cut => server.cut(Some(place)),
            Fault::Down => {
                server.set_down(true);
                server.cut(None);
                clock.sleep(length).await;
                server.set_down(false);
            }
            Fault::Refused | Fault::Hanging | Fault::Unanswered => {
                server.inject(place, fault);
                server.cut(Some(place));
                clock.sleep(length).await;
                server.heal(place);
            }
            Fault::Stuck | Fault::Held => {
                server.inject(place, fault);
                clock.sleep(length).await;
                server.heal(place);
            }
            Fault::Deaf | Fault::Mute | Fault::Apart => {
                self.0.recorder.record(Fact::MustNotBeLive(node));
                server.inject(place, fault);
                clock.sleep(length).await;
                server.heal(place);
                self.0.recorder.record(Fact::MayBeLive(node));
            }
            // The fault ends when the node has noticed.
            Fault::Forgotten => {
                server.forget(place);
                clock.sleep(HEARTBEAT * 4).await;
            }
            Fault::Stalled | Fault::Asleep => {
                if fault == Fault::Asleep {
                    running.timer.stop(length);
                }
                tasks.stop(running.process);
                clock.sleep(length).await;
                tasks.go_on(running.process);
            }
            Fault::Stopped => {
                running.timer.stop(length);
                clock.sleep(length).await;
            }
            // The fault ends when the node has noticed.
            Fault::Leapt => {
                running.timer.leap(length);
                clock.sleep(HEARTBEAT * 4).await;
            }
            Fault::Crashed => {
                self.0.recorder.record(Fact::Crashed(node));
                self.vacate(place, &running);
                clock.sleep(length).await;
                self.start(place);
            }
            Fault::Closed => {
                let _ = running.recorded.close(length).await;
                self.vacate(place, &running);
                self.start(place);
            }
        }
    }

    fn vacate(&self, place: usize, running: &RunningNode) {
        self.nodes().remove(&running.process);
        self.state().places[place].running = None;
        self.0.tasks.kill(running.process);
        running.workload.leave();
    }

    /// Ends every node; what is recorded from now on belongs to another history.
    pub(super) fn end(&self) {
        let running: Vec<RunningNode> = {
            let mut state = self.state();
            let places = state.places.iter_mut();
            places.filter_map(|place| place.running.take()).collect()
        };
        for running in running {
            self.0.tasks.kill(running.process);
            running.workload.leave();
        }
        self.nodes().clear();
        self.0.tasks.kill(NO_PROCESS);
    }

    /// Lets every workload come to rest.
    pub(super) fn quiet(&self) {
        for place in &self.state().places {
            if let Some(running) = &place.running {
                running.workload.rest();
            }
        }
    }
}
