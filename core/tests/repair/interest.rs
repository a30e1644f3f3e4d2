//! Lanes that come and go make neither losses nor reports of what was no loss.

use midplane_core::node::Config;
use midplane_testkit::Random;

use crate::wire::{Wire, ms, secs};
use crate::world::{World, lanes};

#[test]
fn lanes_that_are_subscribed_and_left_again_and_again_make_no_gap() {
    for seed in 0..3 {
        let mut random = Random::new(seed);
        let mut wire = Wire::down(3, lanes(16));
        (0..3).for_each(|node| wire.link_to(node, &[0]));
        wire.run(secs(6));
        let all: Vec<(usize, u32)> = (0..16).map(|lane| (0, lane)).collect();
        for _ in 0..150 {
            let (node, lane) = (1 + random.below(2) as usize, 1 + random.below(15) as u32);
            if random.below(2) == 0 {
                wire.subscribe(node, lane);
            } else {
                wire.unsubscribe(node, lane);
            }
            wire.flow(ms(100), 20, &all);
        }
        wire.run(secs(10));
        for node in 1..3 {
            assert_eq!(
                wire.history.losses(node).len(),
                0,
                "{:?}",
                wire.history.losses(node)
            );
            wire.history.assert_in_order(node);
        }
    }
}

#[test]
fn a_lane_that_is_subscribed_brings_all_from_then_on() {
    for quiet in [ms(0), ms(50), secs(3), secs(40)] {
        let mut wire = Wire::down(2, lanes(4));
        wire.link(0);
        wire.link_to(1, &[0]);
        wire.run(secs(6));
        wire.flow(secs(5), 20, &[(0, 2)]);
        wire.run(quiet);
        wire.subscribe(1, 2);
        wire.flow(secs(5), 20, &[(0, 2), (0, 0)]);
        wire.run(secs(10));
        wire.history.assert_all_whole();
    }
}

#[test]
fn a_lane_that_is_left_and_subscribed_anew_brings_all_from_then_on() {
    let mut wire = Wire::new(2, lanes(2));
    for away in [ms(100), secs(3), secs(12), secs(60)] {
        wire.flow(secs(3), 10, &[(0, 1)]);
        wire.unsubscribe(1, 1);
        wire.flow(away, 10, &[(0, 1)]);
        wire.subscribe(1, 1);
        let since = wire.now();
        wire.flow(secs(5), 10, &[(0, 1)]);
        wire.run(secs(10));
        let at: std::collections::BTreeMap<_, _> = wire.history.published().collect();
        let missing = wire.history.missing(1).into_iter();
        assert_eq!(missing.filter(|event| at[event] >= since).count(), 0);
        assert_eq!(
            wire.history.losses(1).len(),
            0,
            "{:?}",
            wire.history.losses(1)
        );
        wire.forget();
    }
}

#[test]
fn members_that_come_and_go_on_many_lanes_make_no_gap() {
    let config = Config {
        lanes: 256,
        cool_down: ms(500),
        ..Config::default()
    };
    let (world, members) = World::live(70, 2, config);
    let mut random = Random::new(70);
    let mut clients = Vec::new();
    for round in 0..400_u64 {
        let name = format!("t{}", random.below(300));
        clients.push(members[1].client(&world, &format!("c{round}"), &[&name]));
        if clients.len() > 20 {
            clients.remove(random.below(20) as usize);
        }
        for _ in 0..10 {
            members[0].publish(&format!("t{}", random.below(300)), "x");
        }
        world.run(ms(50));
    }
    world.run(secs(10));
    assert_eq!(members[1].losses(), Vec::<String>::new());
}
