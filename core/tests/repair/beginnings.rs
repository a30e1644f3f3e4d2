//! A connection gets everything that is published once it has joined.

use midplane_core::node::Config;

use crate::wire::{ms, secs};
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
