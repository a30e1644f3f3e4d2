//! An origin may be as fast as it likes: what was lost of it is repaired or reported, and then it is heard again.

use midplane::mailbox::Capacity;
use midplane_core::node::Config;

use crate::wire::{Wire, ms, secs};
use crate::world::{World, numbered};

/// A tenth of every default time, so that 200,000 messages a second pass within a test.
fn brisk() -> Config {
    Config {
        heartbeat: ms(200),
        time_to_live: secs(3),
        queue: 1 << 30,
        ..Config::default()
    }
}

/// The node's share of what was published from a moment on.
fn share(wire: &Wire, node: usize, since: core::time::Duration) -> (usize, usize) {
    let published = wire.history.published();
    let ours = published.filter(|(event, at)| event.from != node && *at >= since);
    let ours: std::collections::BTreeSet<_> = ours.map(|(event, _)| event).collect();
    let got = wire.history.got(node).iter();
    let got = got.filter(|got| ours.contains(&got.event)).count();
    (got, ours.len())
}

/// An origin publishes at this rate; the second node loses what it sends for a while, or has no link meanwhile.
/// Two heartbeats later everything arrives, and all the rest is accounted for.
fn is_heard_again(per_second: u64, lost_for: core::time::Duration, unlinked: bool) {
    let config = brisk();
    let mut wire = Wire::new(2, config);
    wire.flow(ms(100), per_second, &[(0, 0)]);
    if unlinked {
        wire.cut(1);
        wire.flow(lost_for, per_second, &[(0, 0)]);
        wire.link(1);
    } else {
        let (begin, end) = (wire.now(), wire.now() + lost_for);
        wire.route(move |frame| {
            let lost = frame.is(0, 1) && frame.within(begin, end);
            (!lost).then_some(ms(1))
        });
        wire.flow(lost_for, per_second, &[(0, 0)]);
    }
    wire.flow(config.heartbeat * 2, per_second, &[(0, 0)]);
    let healed = wire.now();
    wire.flow(config.heartbeat * 2, per_second, &[(0, 0)]);
    wire.run(config.heartbeat * 5);
    let (got, published) = share(&wire, 1, healed);
    assert_eq!(got, published, "of what was published after two heartbeats");
    wire.history.assert_accounted(1);
}

#[test]
fn a_fast_origin_is_heard_again_after_a_loss() {
    is_heard_again(200_000, ms(500), false);
}

#[test]
fn a_fast_origin_is_heard_again_after_an_outage() {
    is_heard_again(200_000, ms(500), true);
}

#[test]
fn a_slow_origin_is_heard_again_after_an_outage() {
    is_heard_again(200, ms(500), true);
    is_heard_again(20, ms(2_000), true);
}

#[test]
fn a_lane_of_a_fast_origin_that_stood_still_is_heard_again() {
    let config = Config {
        lanes: 2,
        ..brisk()
    };
    let mut wire = Wire::new(2, config);
    let (begin, end) = (wire.now(), wire.now() + ms(500));
    wire.route(move |frame| {
        let still = frame.is(0, 1) && frame.lane == 1 && frame.within(begin, end);
        Some(if still { end - frame.at } else { ms(1) })
    });
    wire.flow(secs(2), 150_000, &[(0, 1)]);
    wire.run(secs(2));
    wire.history.assert_whole(1);
}

#[test]
fn a_hundred_thousand_numbers_that_were_lost_at_once_are_accounted_for() {
    let mut wire = Wire::new(2, brisk());
    wire.publish(0, 0);
    wire.run(ms(50));
    let (begin, end) = (wire.now(), wire.now() + ms(20));
    wire.route(move |frame| {
        let lost = frame.is(0, 1) && frame.within(begin, end);
        (!lost).then_some(ms(1))
    });
    wire.publish_many(0, 0, 100_000);
    wire.run(ms(20));
    wire.flow(secs(1), 100, &[(0, 0)]);
    wire.run(secs(4));
    let missing = wire.history.missing(1).len();
    assert!(missing <= 100_000, "{missing}");
    wire.history.assert_accounted(1);
}

#[test]
fn a_fast_publisher_is_heard_again_within_two_heartbeats_of_an_outage() {
    let config = Config {
        queue: 64 << 20,
        ..brisk()
    };
    let (world, members) = World::live(1, 2, config);
    let capacity = Capacity {
        messages: usize::MAX,
        bytes: usize::MAX,
        ..Capacity::default()
    };
    let client = members[1].client_with(&world, "c", &["t"], capacity);
    world.run(ms(100));
    let texts = numbered(300_000);
    // 150,000 a second; the receiver's link is gone for 0.5 s, two and a half heartbeats.
    let mut healed = 0;
    for (slice, of_a_moment) in texts.chunks(1_500).enumerate() {
        match slice {
            20 => {
                use std::sync::atomic::Ordering::SeqCst;
                members[1].door.shut.store(true, SeqCst);
                members[1].door.cut();
            }
            70 => {
                use std::sync::atomic::Ordering::SeqCst;
                members[1].door.shut.store(false, SeqCst);
            }
            // A pause before connecting is of half a heartbeat and less.
            160 => healed = slice * 1_500,
            _ => {}
        }
        for text in of_a_moment {
            members[0].publish("t", text.as_str());
        }
        world.run(ms(10));
    }
    world.run(secs(2));
    let got: std::collections::BTreeSet<String> = client.texts().into_iter().collect();
    let after = texts[healed..].iter();
    let missing = after.filter(|text| !got.contains(*text)).count();
    assert_eq!(
        missing,
        0,
        "of {} published after it was heard again",
        texts.len() - healed
    );
}
