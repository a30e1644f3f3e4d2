//! Repairs are bounded: in what waits for them, and in what they cost those who lost nothing.

use midplane_core::node::Config;

use crate::wire::{Wire, holding, ms, secs};

fn lanes(lanes: u32) -> Config {
    Config {
        lanes,
        ..Config::default()
    }
}

#[test]
fn a_full_hold_drops_what_can_be_asked_for_again_and_tells_no_gap() {
    for hold in [0, 500, 4_000] {
        let mut wire = Wire::new(2, holding(hold, lanes(1)));
        wire.route(|frame| {
            Some(if frame.from == frame.to {
                ms(1)
            } else {
                ms(150)
            })
        });
        wire.flow(secs(5), 20, &[(0, 0)]);
        let begin = wire.now();
        wire.route(move |frame| {
            let lost = frame.is(0, 1) && frame.within(begin, begin + ms(100)) && frame.has_events();
            let far = frame.from != frame.to;
            (!lost).then_some(if far { ms(150) } else { ms(1) })
        });
        // A hundred frames come behind the hole before its repair can.
        wire.flow(secs(2), 200, &[(0, 0)]);
        wire.flow(secs(4), 20, &[(0, 0)]);
        wire.run(secs(15));
        wire.history.assert_all_whole();
    }
}

#[test]
fn holes_of_many_origins_at_once_are_all_filled_with_a_small_hold() {
    let mut wire = Wire::new(6, holding(3_000, lanes(2)));
    let all: Vec<(usize, u32)> = (0..5).flat_map(|node| [(node, 0), (node, 1)]).collect();
    wire.flow(secs(2), 20, &all);
    let begin = wire.now();
    wire.route(move |frame| {
        let lost = frame.to == 5
            && frame.from != 5
            && frame.within(begin, begin + ms(200))
            && frame.has_events();
        (!lost).then_some(ms(1))
    });
    wire.flow(secs(4), 20, &all);
    wire.run(secs(15));
    wire.history.assert_all_whole();
}

/// The events that each of some nodes publishes while the bus is away, and the frames it takes until everyone has
/// them, where the nodes are back one after the other.
#[test]
fn many_that_are_back_one_after_the_other_need_few_repairs() {
    let nodes = 16;
    let mut wire = Wire::new(nodes, lanes(1));
    let sources: Vec<(usize, u32)> = (0..nodes).map(|node| (node, 0)).collect();
    wire.flow(secs(2), 5, &sources);
    (0..nodes).for_each(|node| wire.cut(node));
    let before = wire.frames;
    wire.flow(secs(3), 10, &sources);
    for node in 0..nodes {
        wire.link(node);
        wire.run(ms(100));
    }
    wire.run(secs(20));
    wire.history.assert_all_whole();
    let frames = wire.frames - before;
    // One frame of each node's backlog would do; a pace of an eighth of the wait makes some more of it.
    println!("{frames} frames");
    assert!(frames <= 40 * nodes as u64, "{frames}");
}

#[test]
fn a_node_that_missed_everything_of_all_gets_it_without_asking_twice() {
    let nodes = 8;
    let mut wire = Wire::new(nodes, lanes(1));
    let sources: Vec<(usize, u32)> = (1..nodes).map(|node| (node, 0)).collect();
    wire.cut(0);
    wire.flow(secs(10), 20, &sources);
    let before = wire.frames;
    wire.link(0);
    wire.run(secs(15));
    wire.history.assert_all_whole();
    let repairs = wire.frames - before;
    let missed = 7 * 10 * 20;
    assert!(
        repairs <= missed * 11 / 10,
        "{repairs} repairs of {missed} frames"
    );
}

#[test]
fn a_forged_ask_costs_no_more_than_one_repair() {
    // What an ask names is in no event: a node of the same name that missed all asks for all of it.
    let mut wire = Wire::new(3, lanes(1));
    wire.flow(secs(5), 20, &[(0, 0)]);
    let before = wire.frames;
    for _ in 0..5 {
        wire.cut(1);
        wire.run(ms(20));
        wire.link(1);
        wire.run(ms(300));
    }
    wire.run(secs(10));
    let repairs = wire.frames - before;
    assert!(repairs <= 20, "{repairs} repairs of nothing that was lost");
    wire.history.assert_all_whole();
}
