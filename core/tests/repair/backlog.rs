//! A backlog comes at the pace of those who receive it: nothing overruns that is idle and healthy.

use std::time::Duration;

use midplane_core::node::Config;

use crate::wire::{ms, secs};
use crate::world::{World, numbered};

/// The bus is away for this time, in which so many events are published to a topic whose readers are idle.
fn overruns_nobody(seed: u64, away: Duration, events: usize) {
    let config = Config {
        time_to_live: secs(60),
        ..Config::default()
    };
    let (world, members) = World::live(seed, 3, config);
    let names: Vec<String> = (0..5).map(|number| format!("c{number}")).collect();
    let clients: Vec<_> = names
        .iter()
        .map(|name| members[1].client(&world, name, &["t"]))
        .collect();
    world.run(secs(1));
    let texts = numbered(events);
    world.memory.block();
    for of_a_moment in texts.chunks(events.div_ceil(100)) {
        for text in of_a_moment {
            members[0].publish("t", text.as_str());
        }
        world.run(away / 100);
    }
    world.memory.unblock();
    world.run(secs(40));
    clients.iter().for_each(|client| client.assert_got(&texts));
}

#[test]
fn a_backlog_of_an_outage_overruns_no_idle_reader() {
    overruns_nobody(80, secs(30), 10_000);
}

#[test]
fn a_backlog_of_a_short_outage_overruns_no_idle_reader() {
    overruns_nobody(81, secs(3), 1_000);
    overruns_nobody(82, secs(10), 5_000);
}

#[test]
fn what_is_repaired_after_a_cut_overruns_no_idle_reader() {
    use std::sync::atomic::Ordering::SeqCst;
    let (world, members) = World::live(83, 3, Config::default());
    let client = members[1].client(&world, "c", &["t"]);
    world.run(secs(1));
    members[1].door.shut.store(true, SeqCst);
    members[1].door.cut();
    let texts = numbered(8_000);
    for of_a_moment in texts.chunks(100) {
        for text in of_a_moment {
            members[0].publish("t", text.as_str());
        }
        world.run(ms(250));
    }
    members[1].door.shut.store(false, SeqCst);
    world.run(secs(30));
    client.assert_got(&texts);
}
