//! What a run draws from its seed before it begins.

use std::time::Duration;

use midplane::node::Config;
use midplane_testkit::random::{Draw, Random};

use super::kind::RunKind;
use super::slowness::{Slowness, millis, up_to};
use super::trouble::{self, Trouble};
use crate::history::{Accounting, Bounds};

/// The longest that a frame takes from a member to the broker.
pub(super) const UPSTREAM: Duration = millis(200);

/// A few events that one member publishes one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Burst {
    pub(super) at: Duration,
    pub(super) count: u32,
    /// The time between two of the events.
    pub(super) pause: Duration,
    /// The lane of the events; `None` for any, one after the other.
    pub(super) lane: Option<u32>,
}

/// What a run draws before it begins.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kind: RunKind,
    pub(super) config: Config,
    /// The heartbeats of the members, in turn.
    pub(super) heartbeats: Vec<Duration>,
    /// The largest frame, in bytes.
    pub(super) frame: usize,
    /// Whether members do not receive their own frames without an echo, and those with one take twice as long to the broker.
    pub(super) spares: bool,
    pub(super) members: usize,
    /// How slow each lane is to each member; a member that starts later has what one before it had.
    pub(super) slowness: Vec<Vec<Slowness>>,
    /// How many of 1,000 frames come twice, and how many are overtaken.
    pub(super) disorder: (u64, u64),
    pub(super) troubles: Vec<(Duration, Trouble)>,
    /// When the faults end, publishing ends, and the run ends.
    pub(super) calm: Duration,
    pub(super) quiet: Duration,
    pub(super) end: Duration,
    /// By how much clocks were made to stand or leap, at most.
    pub(super) clock: Duration,
    /// How many events the run has, at most.
    pub(super) events: u32,
}

impl Plan {
    pub(super) fn draw(random: &mut Random, kind: RunKind, spares: bool) -> Self {
        let lanes = 1 + random.below(4) as u32;
        let members = 2 + random.below(7) as usize;
        let (keep, hold) = windows(random, kind);
        let mut config = configured(lanes, keep, hold);
        let heartbeats = heartbeats(random, kind, config.heartbeat);
        // The longest counts where the run is judged.
        config.heartbeat = heartbeats.iter().copied().max().unwrap_or(config.heartbeat);
        let frames = [2_048, 4_096, 8_000, 65_536];
        let frame = random.pick(&frames).copied().unwrap_or(4_096);
        let slowness = slowness(random, kind, members, lanes);
        let disorder = match kind {
            RunKind::Lossy => (random.below(100), random.below(20)),
            _ if random.once_in(3) => (random.below(50), 0),
            _ => (0, 0),
        };
        let slowest = |lane: usize| {
            let of_lane = slowness.iter().map(move |lanes| lanes[lane].longest());
            of_lane.max().unwrap_or_default()
        };
        let control = slowest(0);
        let worst = (0..lanes as usize).map(slowest).max().unwrap_or_default();
        let calm = millis(25_000 + random.below(45_000));
        let mut plan = Self {
            kind,
            config,
            heartbeats,
            frame,
            spares,
            members,
            disorder,
            slowness,
            troubles: Vec::new(),
            calm,
            quiet: calm + millis(random.below(20_000)),
            end: Duration::ZERO,
            clock: Duration::ZERO,
            events: match random.below(20) {
                0 => 3_000,
                1..=4 => 600,
                _ => 200,
            },
        };
        trouble::draw(&mut plan, random, control, worst);
        plan.troubles.sort_by_key(|(at, _)| *at);
        // What the last fault cost is told a time to live and some heartbeats later.
        let (heartbeat, age) = (plan.config.heartbeat, plan.config.time_to_live);
        let told = match kind {
            RunKind::Gentle | RunKind::Parted => heartbeat * 8,
            RunKind::Forged => heartbeat * 12,
            _ => age * 2 + heartbeat * 6,
        };
        plan.end = plan.quiet.max(plan.calm) + told + worst * 3 + control * 6;
        plan
    }

    /// How long a frame takes to the broker of a member to which one without an echo takes `upstream`.
    pub(super) fn way(&self, upstream: Duration, echo: bool) -> Duration {
        match self.spares && echo {
            true => upstream * 2,
            false => upstream,
        }
    }

    /// The bursts of one member, from this moment on.
    pub(super) fn bursts(&self, random: &mut Random, from: Duration, budget: u32) -> Vec<Burst> {
        let mut bursts = Vec::new();
        let mut left = budget;
        while left > 0 {
            // From 1 to 200,000 events a second, each power of ten as likely as another.
            let powers = [1, 10, 100, 1_000, 10_000, 100_000];
            let power = random.pick(&powers).copied().unwrap_or(1);
            let rate = power * (1 + random.below(2));
            let most = match rate {
                0..=10 => 20,
                11..=200 => 60,
                _ => 1_500,
            };
            let count = (1 + random.below(most) as u32).min(left);
            left -= count;
            let room = self.quiet.saturating_sub(from).as_millis() as u64;
            let lane = random.below(u64::from(self.config.lanes) + 2) as u32;
            bursts.push(Burst {
                at: from + millis(random.below(room.max(1))),
                count,
                pause: Duration::from_micros(1_000_000 / rate),
                lane: (lane < self.config.lanes).then_some(lane),
            });
        }
        bursts
    }
}

/// The heartbeats of members, of which one that starts later has the next.
fn heartbeats(random: &mut Random, kind: RunKind, usual: Duration) -> Vec<Duration> {
    let paces = [usual / 2, usual, usual * 3 / 2];
    let pace = |random: &mut Random| random.pick(&paces).copied().unwrap_or(usual);
    match kind {
        RunKind::Parted => (0..4).map(|_| pace(random)).collect(),
        _ => vec![usual],
    }
}

/// How many bytes an origin keeps for repair, and a receiver holds back; the default, a few frames, or none.
fn windows(random: &mut Random, kind: RunKind) -> (Option<usize>, Option<usize>) {
    if kind != RunKind::Harsh || random.once_in(2) {
        return (None, None);
    }
    let mut window = || match random.below(4) {
        0 => Some(0),
        1 => Some(random.below(4_000) as usize),
        2 => Some(random.below(60_000) as usize),
        _ => None,
    };
    (window(), window())
}

/// The settings of the nodes.
fn configured(lanes: u32, keep: Option<usize>, hold: Option<usize>) -> Config {
    let default = Config::default();
    Config {
        lanes,
        keep: keep.unwrap_or(default.keep),
        hold: hold.unwrap_or(default.hold),
        ..default
    }
}

/// How slow each lane is to each member. A node whose own heartbeats take longer than two heartbeats to come back is
/// not live, so lane 0 is faster than that where everything is to be whole.
fn slowness(random: &mut Random, kind: RunKind, members: usize, lanes: u32) -> Vec<Vec<Slowness>> {
    let fast = random.once_in(3);
    let slow = |random: &mut Random, lane: u32| {
        let (delay, jitter) = match (fast, kind, lane) {
            (true, ..) => (30, 10),
            (_, RunKind::Forged, _) => (700, 300),
            // Half of the usual heartbeat comes back in time.
            (_, RunKind::Parted, _) => (400, 200),
            (_, RunKind::Gentle, 0) => (1_000, 700),
            (_, RunKind::Gentle, _) => (5_000, 2_000),
            (_, _, 0) if random.below(4) > 0 => (2_000, 1_000),
            _ => (9_000, 4_000),
        };
        Slowness {
            delay: Duration::from_micros(200) + up_to(random, millis(delay)),
            jitter: up_to(random, millis(jitter)),
        }
    };
    let mut member = || (0..lanes).map(|lane| slow(random, lane)).collect();
    (0..members).map(|_| member()).collect()
}

impl Plan {
    /// The settings of a member.
    pub(super) fn config_of(&self, member: usize) -> Config {
        let heartbeat = self.heartbeats[member % self.heartbeats.len()];
        Config {
            heartbeat,
            ..self.config
        }
    }

    /// The slowest that a pipe becomes during the run.
    pub(super) fn slower(&self) -> Duration {
        let slower = self.troubles.iter().map(|(_, trouble)| match trouble {
            Trouble::Slower { slowness, .. } => slowness.longest(),
            Trouble::Still { length, .. } => *length,
            _ => Duration::ZERO,
        });
        slower.max().unwrap_or_default()
    }
}

impl Plan {
    /// What a run is held to.
    pub(super) fn bounds(&self) -> Bounds {
        let config = self.config;
        let longest = self.slowness.iter().flatten().map(|slow| slow.longest());
        let way = self.way(UPSTREAM, true);
        let delay = longest.max().unwrap_or_default().max(self.slower()) + way;
        Bounds {
            heartbeat: config.heartbeat,
            time_to_live: config.time_to_live,
            lanes: config.lanes,
            delay,
            // Two heartbeats, an eighth of one for their return, and those that were on their way.
            notice: config.heartbeat * 2 + config.heartbeat / 8 + delay + Duration::from_millis(50),
            queue: config.queue as u64,
            heal: config.heartbeat * 9 + delay * 2,
            accounting: Accounting::Exact,
            whole: match self.kind {
                RunKind::Gentle | RunKind::Parted => Some(Duration::ZERO),
                RunKind::Harsh | RunKind::Lossy => None,
                RunKind::Forged => Some(self.calm + config.heartbeat * 3),
            },
            clock: Duration::from_millis(10) + self.clock,
        }
    }
}
