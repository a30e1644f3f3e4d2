//! What goes wrong in a run, and when.

use std::time::Duration;

use midplane_testkit::random::{Draw, Random};

use super::kind::RunKind;
use super::plan::Plan;
use super::slowness::{Slowness, millis, up_to};

/// One thing that goes wrong, or that changes. Members are counted among those that live at that moment, and lanes and
/// members that are not named are all.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    /// The broker is away, and each member connects up to `back` after the broker is there again.
    Outage { length: Duration, back: Duration },
    /// A member's link ends, and the member connects again so much later.
    Cut { member: usize, length: Duration },
    /// What is sent to a member is lost without an error.
    Deaf {
        member: usize,
        lane: Option<u32>,
        length: Duration,
    },
    /// What one member sends does not come to another, nor the other way round where it is both.
    Apart {
        from: usize,
        to: usize,
        both: bool,
        length: Duration,
    },
    /// What a member sends is lost without an error.
    Mute {
        member: usize,
        lane: Option<u32>,
        length: Duration,
    },
    /// Pipes stand still, and then everything in them arrives at once.
    Still {
        member: Option<usize>,
        lane: Option<u32>,
        length: Duration,
    },
    /// A pipe is slower or faster from now on.
    Slower {
        member: usize,
        lane: u32,
        slowness: Slowness,
    },
    /// Of 1,000 frames in these pipes this many are lost.
    Loss {
        member: Option<usize>,
        lane: Option<u32>,
        length: Duration,
        of_1000: u64,
    },
    /// The broker forgets one subscription.
    Forgotten { member: usize, lane: u32 },
    /// A process does not run, and then receives what arrived meanwhile; its link may have ended.
    Pause {
        member: usize,
        length: Duration,
        cut: bool,
    },
    /// A machine sleeps: its process does not run and its clock stands.
    Suspend {
        member: usize,
        length: Duration,
        cut: bool,
    },
    /// A clock stands while its process runs, or leaps ahead.
    Clock {
        member: usize,
        length: Duration,
        leap: bool,
    },
    /// A process is killed.
    Crash { member: usize },
    /// A process says goodbye.
    Leave { member: usize },
    /// A process starts, and connects so much later; its clients are there from the start on.
    Start { connects: Duration },
    /// A connection joins the topic of a lane. The bus confirms that so much later; the lane is owed from then on, or
    /// from the join on.
    Join {
        member: usize,
        lane: u32,
        confirmed: Duration,
        owed_at_once: bool,
    },
    /// The connection of a lane leaves the topic.
    Part { member: usize, lane: u32 },
    /// An unknown sender puts a frame on the bus.
    Forge { member: usize },
}

/// Draws the troubles of a run. The slowest way to any member takes `control` on lane 0 and `worst` on any lane.
pub(super) fn draw(plan: &mut Plan, random: &mut Random, control: Duration, worst: Duration) {
    match plan.kind {
        RunKind::Gentle => gentle(plan, random, control, worst),
        RunKind::Harsh => harsh(plan, random),
        RunKind::Lossy => lossy(plan, random),
        RunKind::Forged => forged(plan, random),
        RunKind::Parted => parted(plan, random, control, worst),
    }
    for _ in 0..random.below(4) {
        add(plan, random, join_or_part);
    }
}

type Drawn = fn(&mut Random, &Plan) -> Trouble;

fn add(plan: &mut Plan, random: &mut Random, draw: Drawn) {
    let trouble = draw(random, plan);
    let at = moment(plan, random);
    plan.troubles.push((at, trouble));
}

fn moment(plan: &Plan, random: &mut Random) -> Duration {
    millis(random.below(plan.calm.as_millis() as u64))
}

fn member(random: &mut Random) -> usize {
    random.below(64) as usize
}

fn lane(random: &mut Random, plan: &Plan) -> u32 {
    random.below(u64::from(plan.config.lanes)) as u32
}

fn some_lane(random: &mut Random, plan: &Plan) -> Option<u32> {
    random.once_in(2).then(|| lane(random, plan))
}

fn join_or_part(random: &mut Random, plan: &Plan) -> Trouble {
    let (member, lane) = (member(random), lane(random, plan));
    if random.once_in(3) {
        return Trouble::Part { member, lane };
    }
    Trouble::Join {
        member,
        lane,
        confirmed: up_to(random, millis(2_000)),
        owed_at_once: random.once_in(2),
    }
}

/// What an origin that keeps its events for a time to live can make good: together, the faults take no longer than is
/// left of that time beside the ways of the heartbeat that tells, of the ask and of the answer.
fn gentle(plan: &mut Plan, random: &mut Random, control: Duration, worst: Duration) {
    let spent = millis(4_500) + control * 3 + worst * 2;
    let mut left = millis(24_000).saturating_sub(spent) * 5 / 6;
    for _ in 0..random.below(5) {
        let length = up_to(random, left);
        left -= length;
        let member = member(random);
        let lane = some_lane(random, plan);
        let trouble = match random.below(8) {
            0 | 1 => Trouble::Outage {
                length: length / 2,
                back: length / 2,
            },
            2 => Trouble::Cut { member, length },
            3 => Trouble::Deaf {
                member,
                lane,
                length,
            },
            4 => Trouble::Mute {
                member,
                lane,
                length,
            },
            5 => Trouble::Pause {
                member,
                length,
                cut: random.once_in(3),
            },
            6 => Trouble::Start {
                connects: length.min(millis(8_000)),
            },
            _ => Trouble::Still {
                member: random.once_in(2).then_some(member),
                lane,
                length,
            },
        };
        let at = moment(plan, random);
        plan.troubles.push((at, trouble));
    }
    if worst < millis(2_000) && random.once_in(3) {
        let trouble = Trouble::Loss {
            member: None,
            lane: None,
            length: plan.calm,
            of_1000: random.below(20),
        };
        plan.troubles.push((Duration::ZERO, trouble));
    }
}

/// Some members do not receive others, together for no longer than what origins keep leaves beside the slowest heartbeat.
fn parted(plan: &mut Plan, random: &mut Random, control: Duration, worst: Duration) {
    let spent = millis(9_000) + control * 3 + worst * 2;
    let mut left = millis(24_000).saturating_sub(spent) * 5 / 6;
    for _ in 0..=random.below(4) {
        let length = up_to(random, left);
        left -= length;
        let trouble = Trouble::Apart {
            from: member(random),
            to: member(random),
            both: random.once_in(2),
            length,
        };
        let at = moment(plan, random);
        plan.troubles.push((at, trouble));
    }
}

fn harsh(plan: &mut Plan, random: &mut Random) {
    for _ in 0..1 + random.below(9) {
        add(plan, random, |random, plan| {
            let (member, lane) = (member(random), some_lane(random, plan));
            let length = up_to(random, millis(20_000));
            match random.below(16) {
                0 => Trouble::Outage {
                    length: up_to(random, millis(50_000)),
                    back: up_to(random, millis(5_000)),
                },
                1 => Trouble::Outage {
                    length,
                    back: up_to(random, millis(5_000)),
                },
                2 => Trouble::Cut {
                    member,
                    length: up_to(random, millis(50_000)),
                },
                3 => Trouble::Deaf {
                    member,
                    lane,
                    length,
                },
                4 => Trouble::Mute {
                    member,
                    lane,
                    length,
                },
                5 | 6 => Trouble::Still {
                    member: random.once_in(2).then_some(member),
                    lane,
                    length,
                },
                7 => slower(random, plan),
                8 => Trouble::Forgotten {
                    member,
                    lane: self::lane(random, plan),
                },
                9 => Trouble::Pause {
                    member,
                    length: up_to(random, millis(45_000)),
                    cut: random.once_in(2),
                },
                10 => Trouble::Suspend {
                    member,
                    length: up_to(random, millis(100_000)),
                    cut: random.once_in(2),
                },
                11 | 12 => Trouble::Crash { member },
                13 => Trouble::Leave { member },
                _ => Trouble::Start {
                    connects: up_to(random, millis(10_000)),
                },
            }
        });
    }
    killed_in_repair(plan, random);
    clocks(plan, random);
}

/// An origin is killed while what others missed during a fault is being repaired.
fn killed_in_repair(plan: &mut Plan, random: &mut Random) {
    let ends: Vec<Duration> = plan
        .troubles
        .iter()
        .filter_map(|(at, trouble)| match trouble {
            Trouble::Outage { length, .. }
            | Trouble::Cut { length, .. }
            | Trouble::Deaf { length, .. }
            | Trouble::Still { length, .. } => Some(*at + *length),
            _ => None,
        })
        .collect();
    if let Some(end) = random.pick(&ends).filter(|end| **end < plan.calm)
        && random.once_in(2)
    {
        let at = *end + up_to(random, millis(5_000));
        let member = member(random);
        plan.troubles.push((at, Trouble::Crash { member }));
    }
}

fn slower(random: &mut Random, plan: &Plan) -> Trouble {
    Trouble::Slower {
        member: member(random),
        lane: lane(random, plan),
        slowness: Slowness {
            delay: up_to(random, millis(9_000)),
            jitter: up_to(random, millis(4_000)),
        },
    }
}

fn clocks(plan: &mut Plan, random: &mut Random) {
    for _ in 0..random.below(9).saturating_sub(6) {
        add(plan, random, |random, _| Trouble::Clock {
            member: member(random),
            length: up_to(random, millis(10_000)),
            leap: random.once_in(2),
        });
    }
    let lengths = plan.troubles.iter().map(|(_, trouble)| match trouble {
        Trouble::Clock { length, .. } | Trouble::Suspend { length, .. } => *length,
        _ => Duration::ZERO,
    });
    plan.clock = lengths.sum();
}

fn lossy(plan: &mut Plan, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        add(plan, random, |random, plan| Trouble::Loss {
            member: random.once_in(2).then(|| member(random)),
            lane: some_lane(random, plan),
            length: up_to(random, millis(60_000)),
            of_1000: random.below(300),
        });
    }
    for _ in 0..random.below(5) {
        add(plan, random, |random, _| {
            let member = member(random);
            match random.below(6) {
                0 => Trouble::Outage {
                    length: up_to(random, millis(10_000)),
                    back: up_to(random, millis(5_000)),
                },
                1 | 2 => Trouble::Cut {
                    member,
                    length: up_to(random, millis(10_000)),
                },
                3 => Trouble::Crash { member },
                4 => Trouble::Pause {
                    member,
                    length: up_to(random, millis(10_000)),
                    cut: false,
                },
                _ => Trouble::Start {
                    connects: up_to(random, millis(5_000)),
                },
            }
        });
    }
    clocks(plan, random);
}

fn forged(plan: &mut Plan, random: &mut Random) {
    for _ in 0..1 + random.below(40) {
        add(plan, random, |random, _| Trouble::Forge {
            member: member(random),
        });
    }
    for _ in 0..random.below(3) {
        add(plan, random, |random, _| Trouble::Cut {
            member: member(random),
            length: up_to(random, millis(8_000)),
        });
    }
}
