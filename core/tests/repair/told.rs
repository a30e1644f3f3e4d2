//! Who missed something is told, to the last hop.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use midplane_core::node::Config;
use midplane_core::{Audience, Backplane, LaneMap, Scope, State, Target};

use crate::door::Door;
use crate::wire::{forgetful, ms, secs};
use crate::world::{Client, Member, World, lanes, numbered, topic};

/// A node starts, with a client in a topic of which others publish 100 events a second meanwhile. The client gets all
/// that was published after it joined, or it is told once that some may be missing.
fn is_told(seed: u64, distance: Duration, blocked: Duration) {
    let (mut world, members) = World::live(seed, 2, Config::default());
    let door = Door::at(distance);
    door.shut.store(!blocked.is_zero(), SeqCst);
    let newcomer = world.start_behind(Config::default(), door);
    let client = newcomer.client(&world, "c", &["t"]);
    let texts = numbered(2_000 + blocked.as_millis() as usize / 10);
    for text in &texts {
        if world.clock.elapsed() >= secs(6) + blocked {
            newcomer.door.shut.store(false, SeqCst);
        }
        members[0].publish("t", text.as_str());
        world.run(ms(10));
    }
    world.run(secs(20));
    assert_eq!(newcomer.plane.state(), State::Live);
    let got = client.texts();
    let first = texts.iter().position(|text| Some(text) == got.first());
    let first = first.expect("something came");
    assert_eq!(got, texts[first..], "from the first that came on, all came");
    let told = client.losses();
    if first > 0 {
        assert_eq!(told.len(), 1, "{first} events are missing, told: {told:?}");
    }
}

#[test]
fn a_client_of_a_node_far_from_the_bus_is_told_what_it_may_have_missed() {
    for (seed, distance) in [(60, 100), (61, 125), (62, 150), (63, 600)] {
        is_told(seed, ms(distance), Duration::ZERO);
    }
}

#[test]
fn a_client_of_a_node_that_the_bus_refuses_at_first_is_told_what_it_may_have_missed() {
    for (seed, blocked) in [(64, 8), (65, 2), (66, 40)] {
        is_told(seed, Duration::ZERO, secs(blocked));
    }
}

#[test]
fn a_client_of_a_machine_that_slept_gets_nothing_old_and_is_told() {
    for asleep in [secs(60), secs(600)] {
        let (world, members) = World::live(12, 2, Config::default());
        let client = members[1].client(&world, "c", &["t"]);
        world.run(secs(3));
        world.tasks.stop(members[1].process);
        let mut moments = Vec::new();
        let texts = numbered(asleep.as_secs() as usize + 30);
        for (number, text) in texts.iter().enumerate() {
            moments.push(world.clock.elapsed());
            members[0].publish("t", text.as_str());
            world.run(secs(1));
            if number as u64 == asleep.as_secs() {
                world.tasks.go_on(members[1].process);
            }
        }
        world.run(secs(20));
        let woken = moments[0] + asleep;
        for text in client.texts() {
            let number = texts.iter().position(|other| *other == text).unwrap();
            let age = (woken + secs(1)).saturating_sub(moments[number]);
            assert!(
                age <= secs(32),
                "{text} was {age:?} old when the machine woke"
            );
        }
        let told = client.losses();
        assert_eq!(told.len(), 1, "{told:?}");
    }
}

#[test]
fn a_client_is_told_how_many_events_it_missed() {
    for (count, seed) in [(3_000, 90), (1, 91), (40, 92)] {
        let (world, members) = World::live(seed, 2, forgetful(Config::default()));
        let client = members[1].client(&world, "c", &["t"]);
        world.run(secs(1));
        members[0].publish("t", "before");
        world.run(secs(1));
        members[1].door.shut.store(true, SeqCst);
        members[1].door.cut();
        world.run(ms(10));
        for text in numbered(count) {
            members[0].publish("t", text);
            world.run(secs(6) / count as u32);
        }
        members[1].door.shut.store(false, SeqCst);
        world.run(secs(15));
        members[0].publish("t", "after");
        world.run(secs(15));
        assert_eq!(client.texts(), ["before", "after"]);
        let missed = client.missed();
        let [told] = missed.as_slice() else {
            panic!("{missed:?}");
        };
        assert_eq!((told.events, told.exact), (count as u64, true));
    }
}

/// Two nodes that keep nothing of what they sent, with many lanes.
fn forgetful_pair(seed: u64) -> (World, Vec<Member>) {
    let config = Config {
        lanes: 64,
        ..forgetful(Config::default())
    };
    World::live(seed, 2, config)
}

/// The second node's link is cut for a while, in which others publish to a topic.
fn lose(world: &World, members: &[Member], to: &str, count: usize) {
    members[1].door.shut.store(true, SeqCst);
    members[1].door.cut();
    world.run(ms(10));
    for text in numbered(count) {
        members[0].publish(to, text);
        world.run(ms(50));
    }
    members[1].door.shut.store(false, SeqCst);
    world.run(secs(15));
}

#[test]
fn a_client_on_a_lane_that_lost_nothing_is_told_nothing() {
    let (world, members) = forgetful_pair(93);
    let missing = members[1].client(&world, "missing", &["lossy"]);
    let others: Vec<Client> = (0..20)
        .map(|number| {
            members[1].client(&world, &format!("other {number}"), &[&format!("t{number}")])
        })
        .collect();
    world.run(secs(1));
    for name in ["lossy", "t0", "t7"] {
        members[0].publish(name, "before");
    }
    world.run(secs(1));
    lose(&world, &members, "lossy", 40);
    assert_eq!(missing.missed().len(), 1, "{:?}", missing.losses());
    let map = LaneMap::new(64);
    let lane = |target: Target| map.lane(&Scope::default(), &Audience::from(target));
    for (number, other) in others.iter().enumerate() {
        // An event may be for the connection itself, too.
        let itself = Target::connection(format!("other {number}")).unwrap();
        let targets = [topic(&format!("t{number}")), itself];
        let concerned = targets.map(lane).contains(&lane(topic("lossy")));
        let told = other.missed();
        assert_eq!(told.len(), usize::from(concerned), "t{number}: {told:?}");
    }
}

#[test]
fn a_client_that_joins_after_a_loss_is_told_nothing_of_it() {
    let (world, members) = forgetful_pair(94);
    let stays = members[1].client(&world, "stays", &["t"]);
    world.run(secs(1));
    members[0].publish("t", "before");
    world.run(secs(1));
    lose(&world, &members, "t", 40);
    let late = members[1].client(&world, "late", &["t"]);
    world.run(secs(15));
    members[0].publish("t", "after");
    world.run(secs(30));
    assert_eq!(stays.missed().len(), 1);
    assert_eq!(late.losses(), Vec::<String>::new());
    assert_eq!(late.texts(), ["after"]);
}

#[test]
fn a_client_that_joins_during_an_outage_is_told_if_it_missed_something() {
    for (seed, after) in [(95, 5), (96, 500)] {
        let (world, members) = forgetful_pair(seed);
        let _stays = members[1].client(&world, "stays", &["t"]);
        world.run(secs(1));
        members[0].publish("t", "before");
        world.run(secs(1));
        members[1].door.shut.store(true, SeqCst);
        members[1].door.cut();
        world.run(ms(10));
        for text in numbered(20) {
            members[0].publish("t", text);
        }
        world.run(secs(2));
        let late = members[1].client(&world, "late", &["t"]);
        world.run(ms(100));
        for text in numbered(after) {
            members[0].publish("t", text);
        }
        world.run(secs(1));
        members[1].door.shut.store(false, SeqCst);
        world.run(secs(20));
        assert_eq!(late.texts().len(), 0);
        assert_eq!(late.missed().len(), 1, "{:?}", late.losses());
    }
}

#[test]
fn an_outage_beyond_the_window_is_told_once_to_each_client_and_to_the_host() {
    let (world, members) = World::live(97, 3, lanes(64));
    let clients: Vec<Client> = (0..40)
        .map(|number| {
            members[1].client(&world, &format!("c{number}"), &[&format!("t{number}"), "t"])
        })
        .collect();
    world.run(secs(1));
    members[1].door.shut.store(true, SeqCst);
    members[1].door.cut();
    for round in 0..90 {
        for number in 0..40 {
            members[0].publish(&format!("t{number}"), format!("{round}"));
            members[2].publish("t", format!("{round}"));
        }
        world.run(secs(1));
    }
    members[1].door.shut.store(false, SeqCst);
    world.run(secs(60));
    // Each is on three lanes, those of two topics and that of its own target, and there is no more for any of them.
    for client in &clients {
        assert_eq!(client.missed().len(), 1, "{:?}", client.losses());
    }
    let losses = members[1].losses();
    assert_eq!(losses.len(), 1, "{losses:?}");
}

#[test]
fn a_report_stands_between_the_events_before_the_loss_and_those_behind() {
    let (world, members) = forgetful_pair(98);
    let client = members[1].client(&world, "c", &["t"]);
    world.run(secs(1));
    for text in ["one", "two"] {
        members[0].publish("t", text);
        world.run(secs(1));
    }
    lose(&world, &members, "t", 10);
    members[0].publish("t", "three");
    world.run(secs(1));
    let kinds: Vec<String> = client.words();
    assert_eq!(kinds, ["one", "two", "missed", "three"]);
}
