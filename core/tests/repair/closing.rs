//! A close counts as unsent what was accepted and did not reach the bus.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use midplane_core::Backplane;
use midplane_core::node::Config;

use crate::wire::{ms, secs};
use crate::world::{Member, World, numbered};

fn close(world: &World, member: &Member, deadline: Duration) -> (usize, Duration) {
    let plane = member.plane.clone();
    let (report, took) = world.complete(async move { plane.close(deadline).await });
    assert!(took <= deadline + secs(1), "{took:?}");
    (report.unsent, took)
}

fn unsent(world: &World, member: &Member, deadline: Duration) -> usize {
    close(world, member, deadline).0
}

/// A close waits for no link where nothing is to be sent: a process that ends while its bus is away ends at once.
#[test]
fn a_close_with_nothing_to_send_waits_for_no_bus() {
    for published in [0, 3] {
        let (world, members) = World::live(4, 2, Config::default());
        publish(&members[0], published);
        world.run(secs(1));
        world.memory.block();
        world.run(secs(1));
        assert_eq!(close(&world, &members[0], secs(60)), (0, ms(0)));
    }
    let mut world = World::new(4);
    world.memory.block();
    let member = world.start(Config::default());
    world.run(secs(2));
    assert_eq!(close(&world, &member, secs(60)), (0, ms(0)));
}

/// What waits is waited for until it expires, and not for longer.
#[test]
fn a_close_ends_when_the_last_that_waits_has_expired() {
    let (world, members) = World::live(4, 2, Config::default());
    world.memory.block();
    world.run(secs(1));
    publish(&members[0], 3);
    let (unsent, took) = close(&world, &members[0], secs(90));
    assert_eq!((unsent, took.as_secs()), (3, 30));
}

fn publish(member: &Member, count: usize) {
    let texts = numbered(count);
    texts
        .iter()
        .for_each(|text| member.publish("t", text.as_str()));
}

#[test]
fn what_expires_during_a_close_is_unsent() {
    for deadline in [0, 5, 29, 45, 90] {
        let (world, members) = World::live(5, 2, Config::default());
        world.memory.block();
        world.run(secs(1));
        publish(&members[0], 5);
        assert_eq!(
            unsent(&world, &members[0], secs(deadline)),
            5,
            "{deadline} s"
        );
    }
}

#[test]
fn what_expired_before_a_close_is_not_counted_again() {
    let (world, members) = World::live(6, 2, Config::default());
    world.memory.block();
    publish(&members[0], 3);
    world.run(secs(40));
    publish(&members[0], 2);
    assert_eq!(unsent(&world, &members[0], secs(60)), 2);
}

#[test]
fn what_a_bus_that_is_back_takes_during_a_close_is_sent() {
    let (world, members) = World::live(7, 2, Config::default());
    let client = members[1].client(&world, "c", &["t"]);
    world.run(secs(1));
    world.memory.block();
    publish(&members[0], 5);
    let memory = world.memory.clone();
    let key = world.clock.elapsed() + secs(5);
    world.clock.at(key, move || memory.unblock());
    assert_eq!(unsent(&world, &members[0], secs(60)), 0);
    world.run(secs(10));
    client.assert_got(&numbered(5));
}

#[test]
fn a_batch_that_waits_for_its_link_is_unsent() {
    let (world, members) = World::live(8, 2, Config::default());
    members[0].door.stuck.store(true, SeqCst);
    publish(&members[0], 4);
    world.run(ms(10));
    publish(&members[0], 3);
    assert_eq!(unsent(&world, &members[0], secs(1)), 7);
}

#[test]
fn a_batch_whose_links_fail_again_and_again_is_unsent_or_sent() {
    let (world, members) = World::live(9, 2, Config::default());
    let client = members[1].client(&world, "c", &["t"]);
    world.run(secs(1));
    members[0].door.failing_sends.store(u32::MAX, SeqCst);
    publish(&members[0], 4);
    world.run(ms(10));
    let unsent = unsent(&world, &members[0], secs(60));
    world.run(secs(10));
    assert_eq!((unsent, client.texts().len()), (4, 0));
}

#[test]
fn a_node_that_never_had_a_link_counts_all() {
    for deadline in [1, 60] {
        let mut world = World::new(10);
        world.memory.block();
        let member = world.start(Config::default());
        world.run(secs(2));
        publish(&member, 6);
        assert_eq!(unsent(&world, &member, secs(deadline)), 6);
    }
}
