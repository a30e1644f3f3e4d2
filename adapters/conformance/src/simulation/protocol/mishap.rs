//! What happens to the members and the broker when something goes wrong.

use std::time::Duration;

use midplane::bus::Lane;

use super::agenda::Happening;
use super::forger;
use super::kind::RunKind;
use super::slowness::{Slowness, millis, up_to};
use super::trouble::Trouble;
use super::world::World;
use crate::history::Fact;

/// Injects a trouble.
pub(super) fn inject(world: &mut World, trouble: Trouble) {
    let now = world.now();
    let until = |length: Duration| (now + length).min(world.plan.calm);
    match trouble {
        Trouble::Outage { length, back } => {
            world.broker.down_until = world.broker.down_until.max(until(length));
            let pause = world.broker.down_until - now;
            for which in 0..world.members.len() {
                let back = up_to(&mut world.random, back);
                world.cut(which, pause + back);
            }
        }
        Trouble::Loss {
            member,
            lane,
            length,
            of_1000,
        } => {
            let until = until(length);
            let member = member.and_then(|member| pick(world, member));
            for (_, pipe) in world.broker.pipes_of(member, lane) {
                pipe.lossy = (until, of_1000);
            }
        }
        Trouble::Still {
            member,
            lane,
            length,
        } => {
            let until = until(length);
            let member = member.and_then(|member| pick(world, member));
            for (_, pipe) in world.broker.pipes_of(member, lane) {
                pipe.still_until = pipe.still_until.max(until);
            }
        }
        Trouble::Start { connects } => world.start(connects),
        Trouble::Apart {
            from,
            to,
            both,
            length,
        } => {
            let until = until(length);
            let pair = pick(world, from).zip(pick(world, to));
            if let Some((from, to)) = pair.filter(|(from, to)| from != to) {
                world.apart.push((from, to, until));
                if both {
                    world.apart.push((to, from, until));
                }
            }
        }
        Trouble::Forge { member } => forge(world, member),
        other => trouble_of_member(world, other),
    }
}

fn trouble_of_member(world: &mut World, trouble: Trouble) {
    let now = world.now();
    let calm = world.plan.calm;
    let until = |length: Duration| (now + length).min(calm);
    let (Trouble::Cut { member, .. }
    | Trouble::Deaf { member, .. }
    | Trouble::Mute { member, .. }
    | Trouble::Slower { member, .. }
    | Trouble::Forgotten { member, .. }
    | Trouble::Pause { member, .. }
    | Trouble::Suspend { member, .. }
    | Trouble::Clock { member, .. }
    | Trouble::Crash { member }
    | Trouble::Leave { member }
    | Trouble::Join { member, .. }
    | Trouble::Part { member, .. }) = trouble
    else {
        return;
    };
    let Some(which) = pick(world, member) else {
        return;
    };
    let lanes = world.plan.config.lanes;
    let member = &mut world.members[which];
    match trouble {
        Trouble::Cut { length, .. } => world.cut(which, until(length) - now),
        Trouble::Deaf { lane, length, .. } => {
            let until = until(length);
            for (_, pipe) in world.broker.pipes_of(Some(which), lane) {
                pipe.deaf_until = pipe.deaf_until.max(until);
            }
        }
        Trouble::Mute { lane, length, .. } => {
            let named = |of: &u32| lane.is_none_or(|lane| lane == *of);
            for lane in (0..lanes).filter(named) {
                member.mute_until.insert(lane, until(length));
            }
        }
        Trouble::Slower { lane, slowness, .. } => {
            for (_, pipe) in world.broker.pipes_of(Some(which), Some(lane)) {
                pipe.slowness = slowness;
            }
        }
        Trouble::Forgotten { lane, .. } => {
            member.served.remove(&lane);
        }
        Trouble::Pause { length, cut, .. } => stop(world, which, until(length), cut),
        Trouble::Suspend { length, cut, .. } => {
            let until = until(length);
            stand(world, which, until);
            stop(world, which, until, cut);
        }
        Trouble::Clock { length, leap, .. } => {
            match leap {
                true => {
                    member.clock.leap(length);
                    let (node, until, leap) = (member.id, now, leap);
                    world
                        .recorder
                        .record(Fact::ClockFault { node, until, leap });
                }
                false => stand(world, which, until(length)),
            }
            world.set_timer(which);
        }
        Trouble::Crash { .. } => {
            let crashed = Fact::Crashed(member.id);
            member.end(crashed);
        }
        Trouble::Leave { .. } if member.runs() => {
            world.recorder.record(Fact::Closing(member.id));
            let stays = world.plan.config.heartbeat;
            member.leaving = Some(now + stays);
            member.node.leave(member.now());
            world.pump(which);
            world.after(stays, Happening::Gone(which));
        }
        Trouble::Join {
            lane,
            confirmed,
            owed_at_once,
            ..
        } => join(world, which, lane, confirmed, owed_at_once),
        Trouble::Part { lane, .. } => {
            member.part(lane);
            if lane != 0 {
                member.served.remove(&lane);
            }
            world.pump(which);
        }
        _ => {}
    }
}

fn join(world: &mut World, which: usize, lane: u32, confirmed: Duration, owed_at_once: bool) {
    let member = &mut world.members[which];
    if member.wanted.contains_key(&lane) || !member.runs() {
        return;
    }
    let served = up_to(&mut world.random, confirmed);
    if member.connected && member.link != 0 && !owed_at_once {
        // The bus has confirmed the lane before anyone is owed it.
        member.served.insert(lane);
        member.join(lane);
        member.node.subscribed(member.now(), Lane(lane));
        world.pump(which);
        return;
    }
    member.join(lane);
    let (link, since) = (member.link, member.now());
    world.after(served, Happening::Served(which, link, lane));
    world.after(confirmed, Happening::Confirmed(which, link, lane, since));
}

/// The clock of a member stands until then.
fn stand(world: &mut World, which: usize, until: Duration) {
    let member = &world.members[which];
    member.clock.stop(until - world.now());
    let (node, leap) = (member.id, false);
    world
        .recorder
        .record(Fact::ClockFault { node, until, leap });
}

fn stop(world: &mut World, which: usize, until: Duration, cut: bool) {
    let now = world.now();
    let member = &mut world.members[which];
    member.stalled_since.get_or_insert(now);
    member.runs_at = member.runs_at.max(until);
    let at = member.runs_at;
    if cut {
        world.cut(which, at - now);
    }
    world.at(at, Happening::Resume(which));
}

fn forge(world: &mut World, member: usize) {
    let Some(origin) = pick(world, member) else {
        return;
    };
    let id = world.members[origin].id;
    let lane = world.random.below(u64::from(world.plan.config.lanes)) as u32;
    let used = world.used.get(&(id, lane)).copied().unwrap_or(0);
    let forgery = forger::forge(&mut world.random, id, lane, used, world.plan.frame);
    for member in &world.members {
        for lane in forgery.lanes.clone() {
            world.recorder.record(Fact::Impersonated {
                node: member.id,
                origin: forgery.origin,
                lane,
            });
        }
    }
    world.distribute(None, lane, &forgery.bytes, true);
}

/// The member that is meant, among those that live.
fn pick(world: &World, member: usize) -> Option<usize> {
    let lives =
        |which: &usize| world.members[*which].alive && world.members[*which].leaving.is_none();
    let living: Vec<usize> = (0..world.members.len()).filter(lives).collect();
    (!living.is_empty()).then(|| living[member % living.len()])
}

/// Every fault ends.
pub(super) fn heal(world: &mut World) {
    let now = world.now();
    world.recorder.record(Fact::FaultEnded);
    world.apart.clear();
    let quick = millis(500);
    for ((_, lane), pipe) in &mut world.broker.pipes {
        pipe.deaf_until = pipe.deaf_until.min(now);
        pipe.still_until = pipe.still_until.min(now);
        pipe.lossy = (now, 0);
        // A node whose own heartbeats come back too late is not live.
        if *lane == 0 && world.plan.kind != RunKind::Gentle {
            pipe.slowness = Slowness {
                delay: pipe.slowness.delay.min(quick),
                jitter: pipe.slowness.jitter.min(quick),
            };
        }
    }
    for member in &mut world.members {
        member.mute_until.clear();
        if member.link != 0 {
            member.served.extend(member.wanted.keys());
            member.served.insert(0);
        }
    }
    let pipes: Vec<(usize, u32)> = world.broker.pipes.keys().copied().collect();
    for (to, lane) in pipes {
        world.wake_pipe(to, lane);
    }
}
