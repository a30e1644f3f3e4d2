//! Faults between the nodes and the server.

use std::time::Duration;

use midplane_testkit::proxy::Way;
use midplane_testkit::wait::block_until;

use crate::{Broker, Harness, Route};

const BOTH: [Way; 2] = [Way::ToClient, Way::ToServer];

/// Every connection is reset in the middle of what goes one way, after eight numbers of bytes.
pub fn cut_at_some_bytes(broker: &dyn Broker) {
    cut_at(broker, &[1, 2, 17, 40, 64, 100, 177, 301]);
}

/// Every connection is reset in the middle of what goes one way, after each number of bytes that a frame has here.
pub fn cut_at_every_byte(broker: &dyn Broker) {
    let every: Vec<usize> = (1..=256).collect();
    cut_at(broker, &every);
}

fn cut_at(broker: &dyn Broker, lengths: &[usize]) {
    let harness = Harness::start(broker, Route::Proxied);
    harness.fault_begins();
    for (turn, bytes) in lengths.iter().enumerate() {
        let way = BOTH[turn % 2];
        harness.proxy().cut_after(way, Some(*bytes));
        // Nodes that were just cut may have nothing to send before they connect again.
        block_until("everything is cut", || !harness.proxy().will_cut(way));
        harness.pass(Duration::from_millis(20));
        harness.wait_all_live();
    }
    harness.fault_ends();
    harness.finish();
}

/// Everything arrives byte by byte for 2 s.
pub fn one_byte_slices(broker: &dyn Broker) {
    let harness = Harness::start(broker, Route::Proxied);
    // That is slow enough for nodes to give up their links.
    harness.fault_begins();
    BOTH.iter()
        .for_each(|way| harness.proxy().slice(*way, true));
    harness.pass(Duration::from_secs(2));
    BOTH.iter()
        .for_each(|way| harness.proxy().slice(*way, false));
    harness.fault_ends();
    harness.finish();
}

/// Nothing from the server arrives for 3 s, and no connection ends; then all of it arrives.
pub fn deaf_behind_a_black_hole(broker: &dyn Broker) {
    black_hole(broker, Way::ToClient);
}

/// Nothing from the nodes arrives for 3 s, and no connection ends; then all of it arrives.
pub fn mute_behind_a_black_hole(broker: &dyn Broker) {
    black_hole(broker, Way::ToServer);
}

fn black_hole(broker: &dyn Broker, way: Way) {
    let length = Duration::from_secs(3);
    let mut harness = Harness::start(broker, Route::Proxied);
    harness.bounds.delay += length;
    let proxy = harness.proxy();
    harness.outage(length, || proxy.hold(way), || proxy.pass(way));
    harness.finish();
}

/// Everything takes 20 ms each way, which is no fault: nothing is lost, and every node stays live.
pub fn latency(broker: &dyn Broker) {
    let harness = Harness::start(broker, Route::Proxied);
    let delay = |delay| {
        BOTH.iter()
            .for_each(|way| harness.proxy().delay(*way, delay));
    };
    delay(Duration::from_millis(20));
    harness.pass(Duration::from_secs(3));
    delay(Duration::ZERO);
    harness.finish();
}
