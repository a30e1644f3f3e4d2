//! What a run of whole nodes draws from its seed before it begins.

use std::time::Duration;

use midplane_testkit::random::{Draw, Random};

use super::bus::LATE;
use super::lanes::AffectedLanes;
use super::scenario::{Fault, HEARTBEAT, Scenario, TIME_TO_LIVE};
use crate::history::{Accounting, Bounds};

/// The longest fault: longer than any event lives, and than any node remembers another.
const LONGEST: Duration = Duration::from_secs(20);

/// The slowest way of a frame: longer than any constant of the protocol.
const SLOWEST: Duration = Duration::from_secs(10);

/// The longest time between the end of a fault and the kill of a process that sends again what was lost.
const REPAIR: Duration = Duration::from_secs(2);

/// The most faults of a run that can be repaired.
const REPAIRED: u64 = 5;

/// After how many heartbeats a node has noticed at the latest that a lane brings nothing.
pub(super) const NOTICES: u32 = 12;

/// How long the workloads go on when no fault is left.
const CALM: Duration = Duration::from_secs(6);

/// One fault of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedFault {
    pub(super) at: Duration,
    pub(super) fault: Fault,
    pub(super) place: usize,
    pub(super) lanes: AffectedLanes,
    pub(super) length: Duration,
    /// How slow frames are, or how long a node sends again what was lost before it is killed.
    pub(super) pause: Duration,
    /// One frame in so many is affected.
    pub(super) times: u64,
}

/// What a run draws before it begins.
#[derive(Debug)]
pub(super) struct FaultPlan {
    scenario: Scenario,
    pub(super) places: usize,
    /// The longest way between a node and the bus where nothing is wrong.
    pub(super) latency: Duration,
    /// Whether nodes do not receive their own frames without an echo, and those with one take longer.
    pub(super) spares: bool,
    pub(super) faults: Vec<PlannedFault>,
    /// When the last fault ends, and when publishing ends.
    calm: Duration,
    pub(super) quiet: Duration,
}

impl FaultPlan {
    pub(super) fn draw(random: &mut Random, scenario: Scenario, spares: bool) -> Self {
        let millis = Duration::from_millis;
        let calm = match scenario.faults {
            [] => Duration::from_secs(12),
            _ => Duration::from_secs(10 + random.below(16)),
        };
        let mut plan = Self {
            scenario,
            places: 2 + random.below(3) as usize,
            latency: random.between(Duration::from_micros(100), millis(100)),
            spares,
            faults: Vec::new(),
            calm,
            quiet: calm + CALM,
        };
        match scenario.within_the_window {
            true => plan.draw_repairable(random),
            false => plan.draw_faults(random),
        }
        plan
    }

    fn draw_faults(&mut self, random: &mut Random) {
        if self.scenario.faults.contains(&Fault::Born) {
            self.hold_off(random, LONGEST / 2);
        }
        // Some runs have a fault now and then, some have many at once.
        let pause = random.between(Duration::from_millis(200), Duration::from_secs(8));
        let mut at = Duration::ZERO;
        loop {
            at += Duration::from_micros(random.below(pause.as_micros() as u64));
            let Some(fault) = random.pick(self.scenario.faults).copied() else {
                return;
            };
            if at >= self.calm {
                return;
            }
            let length = random.between(Duration::from_millis(1), LONGEST);
            let drawn = self.draw_fault(random, at, fault, length);
            self.faults.push(drawn);
        }
    }

    /// Nodes that are not let in at first, with their clients there.
    fn hold_off(&mut self, random: &mut Random, longest: Duration) -> Duration {
        let mut all = Duration::ZERO;
        for place in 0..self.places {
            if random.once_in(4) {
                let length = random.between(Duration::from_millis(1), longest);
                let fault = match random.below(2) {
                    0 => Fault::Refused,
                    _ => Fault::Hanging,
                };
                let drawn = self.draw_fault(random, Duration::ZERO, fault, length);
                self.faults.push(PlannedFault { place, ..drawn });
                all = all.max(length);
            }
        }
        all
    }

    /// The faults together take no longer than what is left of the time to live beside the ways of the heartbeat that
    /// tells of a loss, of the ask, and of the answer; and a link that is opened anew takes a while.
    fn draw_repairable(&mut self, random: &mut Random) {
        if self.scenario.faults.is_empty() {
            return;
        }
        let spent = HEARTBEAT * 4 + self.latency * 8;
        let window = (TIME_TO_LIVE * 4 / 5).saturating_sub(spent) * 5 / 6;
        let mut left = window - self.hold_off(random, window / 2);
        for _ in 0..random.below(REPAIRED) {
            let Some(fault) = random.pick(self.scenario.faults).copied() else {
                return;
            };
            let at = Duration::from_micros(random.below(self.calm.as_micros() as u64));
            let length = random.between(Duration::from_millis(1), left);
            let mut drawn = self.draw_fault(random, at, fault, length);
            let cost = match fault {
                Fault::Repeated => Duration::ZERO,
                // A frame, an ask and what is sent again are slow.
                Fault::Slow => {
                    // A node whose own heartbeats take longer than two heartbeats is not live.
                    let slowest = match drawn.lanes.include_heartbeats() {
                        true => HEARTBEAT,
                        false => HEARTBEAT * 5 / 2,
                    };
                    drawn.pause = drawn.pause.min(slowest).min(left / 3);
                    drawn.pause * 3
                }
                // That a lane brings nothing is noticed after eight heartbeats, which leaves no time for more.
                Fault::Forgotten => window,
                _ => length,
            };
            if cost <= left {
                left -= cost;
                self.faults.push(drawn);
            }
        }
    }

    fn draw_fault(
        &self,
        random: &mut Random,
        at: Duration,
        fault: Fault,
        length: Duration,
    ) -> PlannedFault {
        let pause = match fault {
            Fault::Repairing => REPAIR,
            _ => SLOWEST,
        };
        PlannedFault {
            at,
            fault,
            place: random.below(self.places as u64) as usize,
            lanes: AffectedLanes::draw(random, self.scenario.lanes),
            length: length.min(self.calm.saturating_sub(at)),
            pause: random.between(Duration::from_millis(1), pause),
            times: 2 + random.below(10),
        }
    }

    /// The longest time a frame may be on its way.
    fn delay(&self) -> Duration {
        let delays = self.faults.iter().map(|planned| match planned.fault {
            Fault::Slow => planned.pause,
            fault if fault.delays() => planned.length,
            _ => Duration::ZERO,
        });
        delays.max().unwrap_or_default() + self.latency * 2 + LATE
    }

    /// How long after the last fault a node is live at the latest: what `docs/NODES.md` promises, but that a connect which hangs
    /// goes on when the fault ends. A lane that was forgotten is noticed once others that are heard again report its use.
    fn heal(&self) -> Duration {
        let noticed = HEARTBEAT * 17 / 8;
        let paused = HEARTBEAT * 5 / 2;
        let joined = HEARTBEAT / 2;
        let named = HEARTBEAT * 2;
        let mut faults = self.faults.iter();
        let forgotten = faults.any(|planned| {
            planned.fault == Fault::Forgotten && !planned.lanes.include_heartbeats()
        });
        let lanes = HEARTBEAT * NOTICES * u32::from(forgotten);
        // A node whose clock stood or leapt notices that later.
        let mut faults = self.faults.iter();
        let clocks = faults.any(|planned| planned.fault.is_of_clock());
        let clocks = HEARTBEAT * 3 * u32::from(clocks);
        noticed + paused + joined + named + lanes + clocks + self.latency * 12
    }

    /// By how much the clocks of two nodes may come to differ.
    fn clock(&self) -> Duration {
        let wrong = self
            .faults
            .iter()
            .filter(|planned| planned.fault.is_of_clock());
        wrong.map(|planned| planned.length).sum()
    }

    /// What the run is held to.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            heartbeat: HEARTBEAT,
            time_to_live: TIME_TO_LIVE,
            lanes: self.scenario.lanes,
            delay: self.delay(),
            // A node whose clock stands cannot tell how long it has not heard itself.
            notice: HEARTBEAT * 3 + self.latency * 2 + Duration::from_millis(50) + self.clock(),
            queue: self.scenario.queue as u64,
            heal: self.heal(),
            accounting: Accounting::Connection,
            whole: self.scenario.within_the_window.then_some(Duration::ZERO),
            clock: Duration::from_millis(10) + self.clock(),
        }
    }

    /// When everything that was lost is told.
    pub(super) fn end(&self) -> Duration {
        let bounds = self.bounds();
        // The last fault is over when what was slow has arrived, or the node has noticed.
        let over = self.calm + bounds.delay + HEARTBEAT * NOTICES;
        let told = over + bounds.time_to_live + bounds.heartbeat * 6 + bounds.delay;
        self.quiet.max(told + self.clock()) + HEARTBEAT
    }
}
