//! A connection gets everything that is published once it has joined.

use midplane_core::node::{Config, News};

use crate::wire::{Wire, ms, secs};
use crate::world::{World, numbered};

#[test]
fn a_client_that_joins_a_live_node_is_told_nothing() {
    let (world, members) = World::live(67, 2, Config::default());
    for config in [1, 2] {
        let client = members[1].client(&world, &format!("c{config}"), &["t"]);
        world.run(secs(1));
        let texts = numbered(100);
        for text in &texts {
            members[0].publish("t", text.as_str());
            world.run(ms(50));
        }
        world.run(secs(10));
        client.assert_got(&texts);
    }
}

#[test]
fn a_client_that_joins_a_lane_nobody_here_was_on_gets_all_from_then_on() {
    let (world, members) = World::live(68, 3, crate::world::lanes(64));
    for (number, name) in ["a", "b", "c", "d", "e", "f"].iter().enumerate() {
        let before = numbered(50);
        for text in &before {
            members[0].publish(name, text.as_str());
            world.run(ms(10));
        }
        let client = members[1].client(&world, &format!("c{number}"), &[name]);
        world.run(ms(500));
        client.forget();
        let texts = numbered(150)[50..].to_vec();
        for text in &texts {
            members[0].publish(name, text.as_str());
            world.run(ms(20));
        }
        world.run(secs(10));
        client.assert_got(&texts);
    }
}

/// A machine that was suspended together with its clock, for longer than others remember a silent node, takes for young what
/// it had sent.
#[test]
fn what_a_suspended_machine_sent_before_comes_to_nobody_twice() {
    let mut wire = Wire::down(2, Config::default());
    wire.history.heard[0].ahead = secs(300);
    (0..2).for_each(|node| wire.link(node));
    wire.run(secs(6));
    wire.publish_many(0, 0, 5);
    wire.run(secs(2));
    wire.cut(0);
    wire.sleep(0);
    wire.run(secs(150));
    // The clock stood for as long.
    wire.history.heard[0].ahead = secs(150);
    wire.wake(0);
    wire.link(0);
    wire.run(secs(10));
    let told = wire.history.losses(1).len();
    wire.publish(0, 0);
    wire.run(secs(10));
    wire.history.assert_in_order(1);
    assert_eq!(wire.history.got(1).len(), 6);
    assert_eq!(wire.history.losses(1).len(), told);
    assert!(matches!(
        wire.history.losses(1)[..],
        [.., News::Deaf { .. }]
    ));
}
