//! A process that was stopped for a while, as a debugger or a full machine does, misses nothing within the window.

use std::time::Duration;

use midplane_core::node::Config;

use crate::wire::{Wire, ms, secs};
use crate::world::{World, numbered};

fn stopped_for(duration: Duration, events: usize) {
    let (world, members) = World::live(50, 2, Config::default());
    let client = members[1].client(&world, "c", &["t"]);
    world.run(secs(3));
    let texts = numbered(events + 2);
    members[0].publish("t", texts[0].as_str());
    world.run(secs(1));
    world.tasks.stop(members[1].process);
    for text in &texts[1..=events] {
        world.run(duration / (events as u32 + 1));
        members[0].publish("t", text.as_str());
    }
    world.run(duration / (events as u32 + 1));
    world.tasks.go_on(members[1].process);
    world.run(secs(10));
    members[0].publish("t", texts[events + 1].as_str());
    world.run(secs(20));
    client.assert_got(&texts);
    assert_eq!(members[1].losses(), Vec::<String>::new());
}

#[test]
fn a_node_that_was_stopped_for_four_seconds_gets_what_was_published_meanwhile() {
    stopped_for(secs(4), 3);
}

#[test]
fn a_node_that_was_stopped_for_less_or_more_gets_what_was_published_meanwhile() {
    for (duration, events) in [(1, 3), (3, 50), (5, 3), (10, 200), (25, 100)] {
        stopped_for(secs(duration), events);
    }
}

#[test]
fn what_waits_in_a_link_that_is_given_up_comes_again() {
    for asleep in [secs(3), secs(6), secs(15), secs(25)] {
        let config = Config {
            lanes: 2,
            ..Config::default()
        };
        let mut wire = Wire::new(3, config);
        wire.sleep(1);
        wire.flow(asleep, 10, &[(0, 0), (2, 1)]);
        wire.wake(1);
        wire.flow(secs(5), 10, &[(0, 0), (2, 1)]);
        wire.run(secs(20));
        wire.history.assert_all_whole();
    }
}

#[test]
fn an_origin_that_was_stopped_loses_nothing_of_its_own() {
    for asleep in [secs(3), secs(6), secs(20)] {
        let mut wire = Wire::new(2, Config::default());
        wire.flow(secs(1), 10, &[(0, 0)]);
        wire.sleep(0);
        wire.publish_many(0, 0, 20);
        wire.run(asleep);
        wire.wake(0);
        wire.flow(secs(5), 10, &[(0, 0)]);
        wire.run(secs(20));
        wire.history.assert_all_whole();
    }
}

#[test]
fn all_nodes_that_were_stopped_at_once_lose_nothing() {
    let mut wire = Wire::new(3, Config::default());
    wire.flow(secs(1), 10, &[(0, 0), (1, 0)]);
    (0..3).for_each(|node| wire.sleep(node));
    wire.run(secs(8));
    for node in 0..3 {
        wire.wake(node);
        wire.run(ms(700));
    }
    wire.flow(secs(5), 10, &[(0, 0), (1, 0)]);
    wire.run(secs(20));
    wire.history.assert_all_whole();
}
