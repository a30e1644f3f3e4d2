//! What is between the nodes and the server.

use std::time::Duration;

use midplane_testkit::proxy;

use crate::{Broker, Harness, Way};

/// Every connection is reset in the middle of what goes one way, after so many bytes of it.
pub fn cut_at_some_bytes(broker: &dyn Broker) {
    cut_at(broker, &[1, 2, 17, 40, 64, 100, 177, 301]);
}

/// The same after each number of bytes that a frame has here.
pub fn cut_at_every_byte(broker: &dyn Broker) {
    let every: Vec<usize> = (1..=256).collect();
    cut_at(broker, &every);
}

fn cut_at(broker: &dyn Broker, places: &[usize]) {
    let harness = Harness::open(broker, Way::Proxied);
    harness.fault_begins();
    for (turn, bytes) in places.iter().enumerate() {
        let way = match turn % 2 {
            0 => proxy::Way::ToClient,
            _ => proxy::Way::ToServer,
        };
        harness.proxy().cut_after(way, Some(*bytes));
        // Nodes that were cut just now may have nothing to say before they come again.
        harness.wait("everything is cut", || !harness.proxy().will_cut(way));
        harness.pass(Duration::from_millis(20));
        harness.all_live();
    }
    harness.fault_ends();
    harness.finish();
}

/// Everything goes byte by byte.
pub fn one_byte_slices(broker: &dyn Broker) {
    let harness = Harness::open(broker, Way::Proxied);
    // It is so slow that nodes may take it for dead.
    harness.fault_begins();
    for way in [proxy::Way::ToClient, proxy::Way::ToServer] {
        harness.proxy().slice(way, true);
    }
    harness.pass(Duration::from_secs(2));
    for way in [proxy::Way::ToClient, proxy::Way::ToServer] {
        harness.proxy().slice(way, false);
    }
    harness.fault_ends();
    harness.finish();
}

/// Nothing that the server sends arrives, and no connection ends; then all of it does.
pub fn deaf_behind_a_black_hole(broker: &dyn Broker) {
    black_hole(broker, proxy::Way::ToClient);
}

/// The same of what the nodes send.
pub fn mute_behind_a_black_hole(broker: &dyn Broker) {
    black_hole(broker, proxy::Way::ToServer);
}

fn black_hole(broker: &dyn Broker, way: proxy::Way) {
    let length = Duration::from_secs(3);
    let mut harness = Harness::open(broker, Way::Proxied);
    harness.bounds.delay += length;
    harness.fault_begins();
    harness.proxy().hold(way);
    harness.nobody_may_be_live();
    harness.pass(length);
    harness.everybody_may_be_live();
    harness.proxy().pass(way);
    harness.fault_ends();
    harness.finish();
}

/// Everything takes a while both ways, and nothing is wrong: nothing is lost, and no node says that it is
/// not live.
pub fn latency(broker: &dyn Broker) {
    let harness = Harness::open(broker, Way::Proxied);
    for way in [proxy::Way::ToClient, proxy::Way::ToServer] {
        harness.proxy().delay(way, Duration::from_millis(20));
    }
    harness.pass(Duration::from_secs(3));
    for way in [proxy::Way::ToClient, proxy::Way::ToServer] {
        harness.proxy().delay(way, Duration::ZERO);
    }
    harness.finish();
}
