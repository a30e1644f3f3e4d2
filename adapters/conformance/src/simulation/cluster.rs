//! The places where nodes run, and the faults that are injected there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use midplane::Cluster;
use midplane::envelope::NodeId;
use midplane::node::Config;

use super::bus::{BusServer, FrameFault, LinkFault};
use super::plan::{FaultPlan, NOTICES, PlannedFault};
use super::scenario::{Fault, FaultyPart, HEARTBEAT, Scenario, TIME_TO_LIVE};
use super::workload::{RunningNodes, Workload};
use crate::history::{Fact, RecordedNode, Recorder, TappedBus};
use midplane_testkit::clock::{NodeClock, VirtualClock};
use midplane_testkit::lock::locked;
use midplane_testkit::random::Random;
use midplane_testkit::tasks::{ProcessId, Tasks};

/// The process of tasks that belong to no node.
pub(super) const NO_PROCESS: ProcessId = ProcessId(0);

/// The most nodes that run at once.
const PLACES: usize = 6;

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
    /// The node at each place.
    places: Vec<Option<RunningNode>>,
    next: u64,
    /// The faults in progress, by place and part; those of frames have no place of their own.
    wrong: BTreeSet<(usize, FaultyPart)>,
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
    pub(super) fn new(mut random: Random, scenario: Scenario, plan: &FaultPlan) -> Self {
        let clock = VirtualClock::default();
        let tasks = Tasks::new(clock.clone(), Random::new(random.draw()));
        let (of_server, latency) = (Random::new(random.draw()), plan.latency);
        let server = BusServer::new(clock.clone(), of_server, latency, plan.spares);
        let time = clock.clone();
        let recorder = Recorder::new(move || time.elapsed());
        let state = State {
            random,
            places: vec![None; plan.places],
            next: 0,
            wrong: BTreeSet::new(),
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
        for place in 0..plan.places {
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
        self.state().places[place] = Some(RunningNode {
            process,
            timer,
            recorded,
            workload,
        });
    }

    /// Injects the faults of a plan.
    pub(super) async fn inject_all(self, faults: Vec<PlannedFault>) {
        for planned in faults {
            self.0.clock.until(planned.at).await;
            let cluster = self.clone();
            let task = async move { cluster.run_fault(planned).await };
            self.0.tasks.spawn(NO_PROCESS, task);
        }
    }

    async fn run_fault(self, planned: PlannedFault) {
        let part = planned.fault.part();
        let key = match part {
            FaultyPart::Frames => (0, part),
            FaultyPart::Clock | FaultyPart::Release | FaultyPart::Node => (planned.place, part),
        };
        {
            let mut state = self.state();
            let calm = state.wrong.is_empty();
            if !state.wrong.insert(key) {
                return;
            }
            if calm {
                self.0.recorder.record(Fact::FaultBegan);
            }
        }
        self.inject(planned).await;
        let mut state = self.state();
        state.wrong.remove(&key);
        if state.wrong.is_empty() {
            self.0.recorder.record(Fact::FaultEnded);
        }
    }

    async fn inject(&self, planned: PlannedFault) {
        let PlannedFault {
            fault,
            place,
            lanes,
            length,
            ..
        } = planned;
        let Inner {
            server,
            clock,
            tasks,
            ..
        } = &*self.0;
        let Some(running) = self.state().places[place].clone() else {
            return;
        };
        let node = running.recorded.id();
        match fault {
            Fault::Lost | Fault::Repeated | Fault::Late => {
                let times = planned.times;
                server.set_frame_fault(Some(FrameFault {
                    fault,
                    lanes,
                    times,
                }));
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
                self.break_link(planned, fault, || server.cut(Some(place)))
                    .await;
            }
            Fault::Stuck | Fault::Held => self.break_link(planned, fault, || ()).await,
            // The fault ends when what was slow has arrived.
            Fault::Slow => {
                self.break_link(planned, fault, || ()).await;
                clock.sleep(planned.pause).await;
            }
            Fault::Deaf | Fault::Mute | Fault::Apart => {
                self.lose(planned, fault, node).await;
            }
            // The fault ends when the node has noticed.
            Fault::Forgotten => {
                server.forget(place, lanes);
                let notices = if lanes.include_heartbeats() {
                    4
                } else {
                    NOTICES
                };
                clock.sleep(HEARTBEAT * notices).await;
            }
            Fault::Stalled | Fault::Asleep => {
                if fault == Fault::Asleep {
                    self.stop_clock(&running, length);
                }
                tasks.stop(running.process);
                clock.sleep(length).await;
                tasks.go_on(running.process);
            }
            Fault::Stopped | Fault::CaughtUp => {
                self.stop_clock(&running, length);
                clock.sleep(length).await;
                if fault == Fault::CaughtUp {
                    self.leap_clock(&running, length);
                    clock.sleep(HEARTBEAT * 4).await;
                }
            }
            // The fault ends when the node has noticed.
            Fault::Leapt => {
                self.leap_clock(&running, length);
                clock.sleep(HEARTBEAT * 4).await;
            }
            Fault::Crashed => {
                self.kill(place, &running);
                clock.sleep(length).await;
                self.start(place);
            }
            Fault::Newborn => {
                self.kill(place, &running);
                let born = || self.start(place);
                self.break_link(planned, Fault::Refused, born).await;
            }
            Fault::Born => {
                let place = {
                    let mut state = self.state();
                    if state.places.len() >= PLACES {
                        return;
                    }
                    state.places.push(None);
                    state.places.len() - 1
                };
                let planned = PlannedFault { place, ..planned };
                let born = || self.start(place);
                self.break_link(planned, Fault::Hanging, born).await;
            }
            Fault::Repairing => {
                self.lose(planned, Fault::Mute, node).await;
                clock.sleep(planned.pause).await;
                self.kill(place, &running);
                self.start(place);
            }
            Fault::Newer => {
                server.set_newer(place, true);
                clock.sleep(length).await;
                server.set_newer(place, false);
            }
            Fault::Closed => {
                let _ = running.recorded.close(length).await;
                self.vacate(place, &running);
                self.start(place);
            }
        }
    }

    /// Breaks the link of a place for the length of the fault. `then` is done once it is broken.
    async fn break_link(&self, planned: PlannedFault, fault: Fault, then: impl FnOnce()) {
        let Inner { server, clock, .. } = &*self.0;
        let PlannedFault {
            place,
            lanes,
            pause: slow,
            ..
        } = planned;
        let wrong = LinkFault { fault, lanes, slow };
        server.inject(place, wrong);
        then();
        clock.sleep(planned.length).await;
        server.heal(place);
    }

    /// Loses frames to or from a node, which cannot be live where its own heartbeats are among them.
    async fn lose(&self, planned: PlannedFault, fault: Fault, node: NodeId) {
        let recorder = &self.0.recorder;
        let deaf = planned.lanes.include_heartbeats();
        if deaf {
            recorder.record(Fact::MustNotBeLive(node));
        }
        self.break_link(planned, fault, || ()).await;
        if deaf {
            recorder.record(Fact::MayBeLive(node));
        }
    }

    fn stop_clock(&self, running: &RunningNode, length: Duration) {
        running.timer.stop(length);
        self.record_clock_fault(running, length, false);
    }

    fn leap_clock(&self, running: &RunningNode, length: Duration) {
        running.timer.leap(length);
        self.record_clock_fault(running, Duration::ZERO, true);
    }

    fn record_clock_fault(&self, running: &RunningNode, length: Duration, leap: bool) {
        let (node, until) = (running.recorded.id(), self.0.clock.elapsed() + length);
        let fault = Fact::ClockFault { node, until, leap };
        self.0.recorder.record(fault);
    }

    fn kill(&self, place: usize, running: &RunningNode) {
        let node = running.recorded.id();
        self.0.recorder.record(Fact::Crashed(node));
        self.vacate(place, running);
    }

    fn vacate(&self, place: usize, running: &RunningNode) {
        self.nodes().remove(&running.process);
        self.state().places[place] = None;
        self.0.tasks.kill(running.process);
        running.workload.leave();
    }

    /// Ends every node; what is recorded from now on belongs to another history.
    pub(super) fn end(&self) {
        let running: Vec<RunningNode> = {
            let mut state = self.state();
            let places = state.places.iter_mut();
            places.filter_map(Option::take).collect()
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
        for running in self.state().places.iter().flatten() {
            running.workload.rest();
        }
    }
}
