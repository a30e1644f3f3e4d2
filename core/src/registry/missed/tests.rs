//! Who gets a report, on a clock that the tests set.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use lock_api::Mutex;
use proptest::prelude::*;

use crate::bus::Lane;
use crate::event::Event;
use crate::host::SingleThread;
use crate::missed::{Missed, MissedLanes};
use crate::registry::{
    Attachment, KeyRef, Reach, ReachAnswer, Registry, Sink, TargetWatcher, Verdict,
};
use crate::target::{ConnectionId, Scope, Target};
use crate::time::Instant;

type Host = SingleThread<midplane::Lock>;

const LANES: u32 = 4;

/// A cluster of four lanes that are all used, at an instant that is set.
struct Watch(Mutex<midplane::Lock, Instant>);

impl TargetWatcher for Watch {
    fn target_gained(&self, _: KeyRef<'_>) {}

    fn target_lost(&self, _: KeyRef<'_>) {}

    fn reach(&self, _: KeyRef<'_>) -> ReachAnswer {
        ReachAnswer::Known(Reach::Everywhere)
    }

    fn reaches(&self, _: KeyRef<'_>) -> Reach {
        Reach::Everywhere
    }

    fn lane(&self, key: KeyRef<'_>) -> Lane {
        lane_of_id(key.id())
    }

    fn has_members(&self, _: Lane) -> bool {
        true
    }

    fn now(&self) -> Instant {
        *self.0.lock()
    }
}

struct World {
    registry: Arc<Registry<Host>>,
    watch: Arc<Watch>,
}

/// A connection, and the reports that it took since they were last looked at.
struct Listener {
    attachment: Attachment,
    reports: Arc<Mutex<midplane::Lock, Vec<Missed>>>,
}

impl Listener {
    fn took(&self) -> Vec<Missed> {
        core::mem::take(&mut *self.reports.lock())
    }

    fn join(&self, target: &Target) {
        drop(self.attachment.associate(target));
    }
}

impl World {
    fn new() -> Self {
        let watch = Arc::new(Watch(Mutex::new(at(1))));
        let registry = Arc::new(Registry::new().with_watcher(watch.clone()));
        Self { registry, watch }
    }

    fn set(&self, now: Instant) {
        *self.watch.0.lock() = now;
    }

    /// A connection whose own target is on this lane.
    fn attach(&self, lane: u32) -> Listener {
        let reports: Arc<Mutex<midplane::Lock, Vec<Missed>>> = Arc::new(Mutex::new(Vec::new()));
        let kept = reports.clone();
        let sink = Sink::with_missed(
            |_: &Event| {},
            move |missed: &Missed| kept.lock().push(*missed),
        );
        let free = |id: &ConnectionId| {
            let target = Target::Connection(id.clone());
            lane_of(&target) == Lane(lane) && self.registry.members(&Scope::default(), &target) == 0
        };
        let mut ids = (0..).map(|number| ConnectionId::new(format!("c{number}")).unwrap());
        let id = ids.find(free).unwrap();
        let attachment = self.registry.attach(&Scope::default(), id, sink);
        Listener {
            attachment,
            reports,
        }
    }
}

fn at(seconds: u64) -> Instant {
    Instant::from_origin(Duration::from_secs(seconds))
}

/// The lane that the last letter of an id gives.
fn lane_of_id(id: &[u8]) -> Lane {
    Lane(u32::from(*id.last().unwrap()) % LANES)
}

fn lane_of(target: &Target) -> Lane {
    lane_of_id(target.id().as_bytes())
}

/// A topic on this lane, the same one every time.
fn topic(lane: u32) -> Target {
    let topics = (0..).map(|number| Target::topic(format!("t{number}")).unwrap());
    let mut there = topics.filter(|topic| lane_of(topic) == Lane(lane));
    there.next().unwrap()
}

fn counted(events: u64, lane: u32, since: u64, until: u64) -> Missed {
    Missed::counted(events, Lane(lane), at(since), at(until))
}

#[test]
fn promise_4_a_report_reaches_those_in_a_target_on_its_lane_and_no_others() {
    let world = World::new();
    let [member, own, other] = [2, 1, 2].map(|lane| world.attach(lane));
    member.join(&topic(1));
    other.join(&topic(3));
    world.set(at(9));
    let missed = counted(3, 1, 5, 6);
    assert_eq!(world.registry.missed(&missed).accepted, 2);
    assert_eq!(member.took(), [missed]);
    assert_eq!(own.took(), [missed], "its own target is on the lane");
    assert_eq!(other.took(), []);
}

/// Events for several targets travel on lane 0, and may be for any connection.
#[test]
fn promise_4_a_report_on_lane_0_reaches_everyone_who_was_there() {
    let world = World::new();
    let before = [1, 2].map(|lane| world.attach(lane));
    world.set(at(7));
    let after = world.attach(1);
    world.set(at(9));
    for missed in [
        counted(3, 0, 5, 6),
        Missed::uncounted(MissedLanes::ALL, at(8), at(6)),
    ] {
        world.registry.missed(&missed);
        assert!(before.iter().all(|one| one.took() == [missed]));
        assert_eq!(after.took(), []);
    }
}

#[test]
fn promise_4_a_connection_that_joined_later_gets_no_report() {
    let world = World::new();
    let [early, late, back] = [2, 2, 2].map(|lane| world.attach(lane));
    early.join(&topic(1));
    back.join(&topic(1));
    world.set(at(7));
    late.join(&topic(1));
    back.attachment.dissociate(&topic(1));
    back.join(&topic(1));
    // Joining again is joining once.
    early.join(&topic(1));
    world.set(at(9));
    let missed = counted(1, 1, 5, 6);
    assert_eq!(world.registry.missed(&missed).accepted, 1);
    assert_eq!(
        (early.took().len(), late.took().len(), back.took().len()),
        (1, 0, 0)
    );
    // Events that were published when they joined, or later, may have been for them.
    world.registry.missed(&counted(1, 1, 5, 7));
    assert_eq!((late.took().len(), back.took().len()), (1, 1));
}

/// Who got a report fetched everything that was published before.
#[test]
fn promise_4_an_incident_is_reported_once() {
    let world = World::new();
    let [one, both] = [2, 2].map(|lane| world.attach(lane));
    one.join(&topic(1));
    both.join(&topic(1));
    world.set(at(6));
    both.join(&topic(3));
    world.set(at(9));
    let report = |missed: Missed| {
        world.registry.missed(&missed);
        (one.took().len(), both.took().len())
    };
    assert_eq!(report(counted(1, 1, 3, 5)), (1, 1));
    world.set(at(12));
    assert_eq!(report(counted(1, 1, 3, 8)), (0, 0), "published before");
    assert_eq!(
        report(counted(1, 3, 3, 8)),
        (0, 1),
        "the first named lane 1"
    );
    assert_eq!(report(counted(1, 1, 3, 10)), (1, 1), "published since then");
    // A report on all lanes covers each of them.
    world.set(at(20));
    assert_eq!(
        report(Missed::uncounted(MissedLanes::ALL, at(10), at(15))),
        (1, 1)
    );
    world.set(at(21));
    for lane in 0..LANES {
        assert_eq!(report(counted(1, lane, 10, 19)), (0, 0), "lane {lane}");
    }
    // Reports on each of the lanes that a connection is on cover one on all lanes.
    world.set(at(30));
    let lanes: MissedLanes = [0, 1, 2].map(Lane).into_iter().collect();
    assert_eq!(report(Missed::counted(1, lanes, at(20), at(25))), (1, 1));
    let all = Missed::uncounted(MissedLanes::ALL, at(20), at(24));
    assert_eq!(report(all), (0, 1), "lane 3 was not named");
}

/// A clock that stands shows one instant for what was published before a report and after it.
#[test]
fn promise_4_a_clock_that_stands_hides_no_incident() {
    let world = World::new();
    let one = world.attach(1);
    world.set(at(9));
    world.registry.missed(&counted(1, 1, 5, 9));
    world.registry.missed(&counted(1, 1, 5, 9));
    assert_eq!(one.took().len(), 2);
}

/// A report does not excuse from the next a connection that did not get it.
#[test]
fn promise_4_a_connection_that_came_since_gets_the_next_report() {
    let world = World::new();
    let early = world.attach(2);
    early.join(&topic(1));
    world.set(at(7));
    let late = world.attach(2);
    late.join(&topic(1));
    world.set(at(9));
    world.registry.missed(&counted(1, 1, 5, 6));
    assert_eq!((early.took().len(), late.took().len()), (1, 0));
    world.registry.missed(&counted(1, 1, 5, 8));
    assert_eq!((early.took().len(), late.took().len()), (0, 1));
}

#[test]
fn promise_4_reports_that_come_together_are_one() {
    let world = World::new();
    let [both, one] = [2, 2].map(|lane| world.attach(lane));
    both.join(&topic(1));
    both.join(&topic(3));
    one.join(&topic(3));
    world.set(at(9));
    let reports = [counted(2, 1, 4, 5), counted(3, 3, 6, 7)];
    assert_eq!(world.registry.missed_on_lanes(&reports).accepted, 2);
    let lanes: MissedLanes = [Lane(1), Lane(3)].into_iter().collect();
    assert_eq!(both.took(), [Missed::counted(5, lanes, at(4), at(7))]);
    assert_eq!(one.took(), [reports[1]]);
}

/// What is found missing after an outage comes origin by origin, each time until a little later.
#[test]
fn many_reports_of_one_outage_reach_a_connection_once() {
    let world = World::new();
    let early = world.attach(1);
    world.set(at(20));
    let late = world.attach(1);
    for number in 0..12 {
        world.set(at(50 + number));
        let missed = Missed::counted(1, Lane(1), at(2), at(30 + number));
        world.registry.missed(&missed);
    }
    assert_eq!((early.took().len(), late.took().len()), (1, 1));
    // What was published after the first of them is another.
    let missed = Missed::counted(1, Lane(1), at(2), at(63));
    world.set(at(64));
    world.registry.missed(&missed);
    assert_eq!((early.took().len(), late.took().len()), (1, 1));
}

#[test]
fn a_report_that_a_sink_cannot_take_is_counted() {
    let world = World::new();
    let verdicts = [Verdict::Full, Verdict::Closed];
    let held = verdicts.map(|verdict| {
        let id = ConnectionId::new(format!("{verdict:?}")).unwrap();
        let sink = Sink::with_missed(|_: &Event| {}, move |_: &Missed| verdict);
        world.registry.attach(&Scope::default(), id, sink)
    });
    let missed = counted(1, 0, 1, 1);
    let delivered = world.registry.missed(&missed);
    assert_eq!((delivered.full, delivered.closed), (1, 1));
    assert_eq!(held.map(|one| one.is_attached()), [true, false]);
    assert_eq!(
        (world.registry.drops().full, world.registry.drops().closed),
        (1, 1)
    );
}

#[derive(Debug, Clone)]
enum Step {
    Advance,
    Join(usize, u32),
    Leave(usize, u32),
    /// Lanes, and how long ago the last of the events was published.
    Report(Vec<u32>, u64),
    ReportAll(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let lanes = prop::collection::vec(0..LANES, 1..3);
    prop_oneof![
        3 => Just(Step::Advance),
        3 => (0..3_usize, 0..LANES).prop_map(|(who, lane)| Step::Join(who, lane)),
        2 => (0..3_usize, 0..LANES).prop_map(|(who, lane)| Step::Leave(who, lane)),
        4 => (lanes, 0..6_u64).prop_map(|(lanes, ago)| Step::Report(lanes, ago)),
        1 => (0..6_u64).prop_map(Step::ReportAll),
    ]
}

/// One connection of the model: since when it is in which lanes, and what it was told when.
#[derive(Default)]
struct Modelled {
    since: BTreeMap<u32, Instant>,
    told: Vec<(Instant, MissedLanes)>,
}

proptest! {
    /// Whatever comes and goes: no member remains without a report that covers what it may have missed, and nobody else
    /// gets one.
    #[test]
    fn promise_4_who_may_have_missed_something_has_a_report_that_covers_it(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let world = World::new();
        let listeners = [3, 3, 3].map(|lane| world.attach(lane));
        let mut models = [0; 3].map(|_| Modelled::default());
        let mut now = 1;
        for model in &mut models {
            model.since.insert(3, at(now));
        }
        for step in steps {
            let missed = match step {
                Step::Advance => {
                    now += 1;
                    world.set(at(now));
                    continue;
                }
                Step::Join(who, lane) => {
                    listeners[who].join(&topic(lane));
                    models[who].since.entry(lane).or_insert_with(|| at(now));
                    continue;
                }
                Step::Leave(who, lane) => {
                    listeners[who].attachment.dissociate(&topic(lane));
                    // Its own target is on lane 3, and there from the start.
                    if lane != 3 {
                        models[who].since.remove(&lane);
                    }
                    continue;
                }
                Step::Report(lanes, ago) => {
                    let lanes: MissedLanes = lanes.into_iter().map(Lane).collect();
                    Missed::counted(1, lanes, at(0), at(now.saturating_sub(ago)))
                }
                Step::ReportAll(ago) => {
                    Missed::uncounted(MissedLanes::ALL, at(0), at(now.saturating_sub(ago)))
                }
            };
            world.registry.missed(&missed);
            for (listener, model) in listeners.iter().zip(&mut models) {
                let took = listener.took();
                prop_assert!(took.iter().all(|report| *report == missed) && took.len() <= 1);
                model.told.extend(took.iter().map(|_| (at(now), missed.lanes)));
                // Lane 0 concerns everyone from the attach on.
                let attached = at(1) <= missed.until && missed.lanes.concern_everyone();
                let concerned: Vec<u32> = (0..LANES).filter(|lane| {
                    let since = model.since.get(lane);
                    let member = since.is_some_and(|since| *since <= missed.until);
                    missed.lanes.contains(Lane(*lane)) && (member || (*lane == 0 && attached))
                }).collect();
                if concerned.is_empty() {
                    prop_assert!(took.is_empty(), "{missed:?} concerns nobody here");
                }
                for lane in concerned {
                    let mut told = model.told.iter();
                    let covered = told.any(|(told, lanes)| {
                        *told >= missed.until && lanes.contains(Lane(lane))
                    });
                    prop_assert!(covered, "lane {lane} is covered by no report");
                }
            }
        }
    }
}
