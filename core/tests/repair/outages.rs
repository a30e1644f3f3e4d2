//! What waited for a bus that was away reaches everyone in whatever order nodes are back.

use std::time::Duration;

use midplane_core::node::Config;
use midplane_core::{Backplane, State};
use midplane_testkit::Random;

use crate::wire::{Wire, ms, secs};
use crate::world::{Client, Member, World, numbered};

/// A reader on every node but the first, whose node publishes.
fn readers(world: &World, members: &[Member]) -> Vec<Client> {
    let others = members.iter().skip(1);
    let clients = others
        .map(|member| member.client(world, "c", &["t"]))
        .collect();
    world.run(secs(1));
    clients
}

/// Everyone got everything, and nobody was told that anything is missing.
fn assert_whole(members: &[Member], clients: &[Client], texts: &[String]) {
    clients.iter().for_each(|client| client.assert_got(texts));
    for member in members {
        assert_eq!(member.plane.state(), State::Live);
        assert_eq!(member.losses(), Vec::<String>::new());
    }
}

#[test]
fn what_was_published_during_twelve_short_outages_arrives() {
    for (seed, nodes) in [(20, 2), (21, 3), (22, 8)] {
        let (world, members) = World::live(seed, nodes, Config::default());
        let clients = readers(&world, &members);
        let texts = numbered(60);
        for of_an_outage in texts.chunks(5) {
            world.memory.block();
            for text in of_an_outage {
                members[0].publish("t", text.as_str());
                world.run(ms(600));
            }
            world.memory.unblock();
            world.run(secs(12));
        }
        assert_whole(&members, &clients, &texts);
    }
}

#[test]
fn what_was_published_during_an_outage_of_any_length_within_the_window_arrives() {
    for (seed, length) in [(30, 1), (31, 3), (32, 10), (33, 20), (34, 25)] {
        let (world, members) = World::live(seed, 3, Config::default());
        let clients = readers(&world, &members);
        let texts = numbered(length as usize * 20 + 400);
        let (meanwhile, around) = texts.split_at(length as usize * 20);
        world.memory.block();
        for text in meanwhile {
            members[0].publish("t", text.as_str());
            world.run(ms(50));
        }
        world.memory.unblock();
        for text in around {
            members[0].publish("t", text.as_str());
            world.run(ms(50));
        }
        world.run(secs(30));
        assert_whole(&members, &clients, &texts);
    }
}

#[test]
fn outages_that_follow_each_other_before_all_is_repaired_lose_nothing() {
    let (world, members) = World::live(40, 4, Config::default());
    let clients = readers(&world, &members);
    let texts = numbered(400);
    let mut random = Random::new(40);
    let mut blocked = false;
    for text in &texts {
        if random.below(20) == 0 {
            blocked = !blocked;
            if blocked {
                world.memory.block();
            } else {
                world.memory.unblock();
            }
        }
        members[0].publish("t", text.as_str());
        world.run(ms(40));
    }
    world.memory.unblock();
    world.run(secs(40));
    assert_whole(&members, &clients, &texts);
}

#[test]
fn a_link_that_dies_with_a_batch_loses_nothing() {
    use std::sync::atomic::Ordering::SeqCst;
    for hands_over in [false, true] {
        let (world, members) = World::live(41, 3, Config::default());
        let clients = readers(&world, &members);
        let texts = numbered(200);
        for (number, text) in texts.iter().enumerate() {
            if number % 40 == 7 {
                members[0].door.hands_over.store(hands_over, SeqCst);
                members[0].door.failing_sends.store(2, SeqCst);
            }
            members[0].publish("t", text.as_str());
            world.run(ms(100));
        }
        world.run(secs(20));
        assert_whole(&members, &clients, &texts);
    }
}

#[test]
fn a_node_whose_link_alone_was_cut_gets_what_it_missed() {
    use std::sync::atomic::Ordering::SeqCst;
    for length in [1, 5, 12, 20] {
        let (world, members) = World::live(42, 3, Config::default());
        let clients = readers(&world, &members);
        let texts = numbered(600);
        for (number, text) in texts.iter().enumerate() {
            if number == 40 {
                members[1].door.shut.store(true, SeqCst);
                members[1].door.cut();
            }
            if number == 40 + length * 20 {
                members[1].door.shut.store(false, SeqCst);
            }
            members[0].publish("t", text.as_str());
            world.run(ms(50));
        }
        world.run(secs(20));
        assert_whole(&members, &clients, &texts);
    }
}

#[test]
fn who_is_back_late_gets_what_others_sent_before() {
    for late in [ms(100), secs(2), secs(6), secs(20)] {
        let mut wire = Wire::new(3, Config::default());
        (0..3).for_each(|node| wire.cut(node));
        wire.flow(secs(3), 20, &[(0, 0), (1, 0)]);
        wire.link(0);
        wire.flow(late, 5, &[(0, 0), (1, 0)]);
        wire.link(1);
        wire.flow(late / 4, 5, &[(0, 0), (1, 0)]);
        wire.link(2);
        wire.flow(secs(4), 5, &[(0, 0), (1, 0)]);
        wire.run(secs(20));
        wire.history.assert_all_whole();
    }
}

#[test]
fn an_outage_longer_than_the_window_is_reported_once_for_each_origin() {
    let mut wire = Wire::new(3, Config::default());
    wire.cut(2);
    wire.flow(secs(90), 5, &[(0, 0), (1, 0)]);
    wire.link(2);
    wire.flow(secs(20), 5, &[(0, 0), (1, 0)]);
    wire.run(secs(20));
    // The others cannot know that the one that was away published nothing.
    for node in [0, 1] {
        assert_eq!(wire.history.missing(node), []);
        wire.history.assert_accounted(node);
    }
    wire.history.assert_accounted(2);
    let missing = wire.history.missing(2).len();
    assert!((1..=2 * 5 * 65).contains(&missing), "{missing}");
    let told = wire.history.losses(2).len();
    assert!(told <= 6, "{told} reports: {:?}", wire.history.losses(2));
}

/// Of what five sources publish for 20 s, one frame in so many is lost, repairs and asks too.
fn lossy(seed: u64, one_in: u64) -> Wire {
    let config = Config {
        lanes: 3,
        ..Config::default()
    };
    let mut wire = Wire::new(4, config);
    let mut random = Random::new(seed);
    let begin = wire.now();
    wire.route(move |frame| {
        let lost = frame.from != frame.to
            && frame.within(begin, begin + secs(20))
            && random.below(one_in) == 0;
        (!lost).then_some(ms(1 + random.below(40)))
    });
    wire.flow(secs(20), 10, &[(0, 0), (1, 1), (2, 2), (3, 0), (0, 1)]);
    wire.run(secs(20));
    wire
}

#[test]
fn what_is_lost_on_the_way_is_repaired() {
    for seed in 0..5 {
        lossy(seed, 50).history.assert_all_whole();
    }
}

#[test]
fn of_what_is_lost_again_and_again_little_stays_lost_and_that_is_reported() {
    for (seed, one_in) in [(1, 10), (2, 5), (3, 3)] {
        let wire = lossy(seed, one_in);
        for node in 0..4 {
            wire.history.assert_accounted(node);
            let missing = wire.history.missing(node).len();
            assert!(missing <= 40, "{missing} of 1,000, one in {one_in} lost");
        }
    }
}

/// How long the bus is away, and how long until everyone has everything.
#[test]
fn all_is_whole_soon_after_an_outage() {
    let mut wire = Wire::new(5, Config::default());
    (0..5).for_each(|node| wire.cut(node));
    wire.flow(secs(5), 200, &[(0, 0)]);
    (0..5).for_each(|node| {
        wire.run(ms(137 * node as u64));
        wire.link(node);
    });
    let mut took = Duration::ZERO;
    while !(1..5).all(|node| wire.history.missing(node).is_empty()) && took < secs(30) {
        wire.run(ms(50));
        took += ms(50);
    }
    assert!(took <= secs(5), "{took:?}");
    wire.history.assert_all_whole();
}
