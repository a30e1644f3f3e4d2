//! The server is gone, or stands still.

use std::time::Duration;

use crate::{Broker, Harness, Route};

/// The server is killed, and started again after 1 s.
pub fn bus_killed_for_1_s(broker: &dyn Broker) {
    killed(broker, Duration::from_secs(1));
}

/// The server is killed, and started again after 10 s.
pub fn bus_killed_for_10_s(broker: &dyn Broker) {
    killed(broker, Duration::from_secs(10));
}

/// The server is killed, and started again after 90 s, which outlasts every event and the retries of drivers.
pub fn bus_killed_for_90_s(broker: &dyn Broker) {
    killed(broker, Duration::from_secs(90));
}

fn killed(broker: &dyn Broker, outage: Duration) {
    let harness = Harness::start(broker, Route::Direct);
    let server = broker.server();
    harness.outage(outage, || server.kill(), || server.restart());
    harness.finish();
}

/// The server stands still for 3 s with every connection open: links end in the middle of a publish, which is sent
/// again on the next link, and then the server goes on with both.
pub fn bus_stopped_for_3_s(broker: &dyn Broker) {
    stopped(broker, Duration::from_secs(3));
}

/// The server stands still for 30 s, which is the time to live of an event.
pub fn bus_stopped_for_30_s(broker: &dyn Broker) {
    stopped(broker, Duration::from_secs(30));
}

fn stopped(broker: &dyn Broker, stall: Duration) {
    let mut harness = Harness::start(broker, Route::Direct);
    harness.bounds.delay += stall;
    let server = broker.server();
    harness.outage(stall, || server.stop(), || server.thaw());
    harness.finish();
}

/// The connections that the nodes receive by end three times; those they send by stay, if they are others.
pub fn subscribers_cut(broker: &dyn Broker) {
    let harness = Harness::start(broker, Route::Direct);
    for _ in 0..3 {
        harness.fault_begins();
        broker.cut_subscribers();
        harness.fault_ends();
        harness.pass(Duration::from_millis(700));
    }
    harness.finish();
}

/// Every connection is reset ten times, at first faster than links can be opened.
pub fn links_reset(broker: &dyn Broker) {
    let harness = Harness::start(broker, Route::Proxied);
    harness.fault_begins();
    for pause in [0, 1, 2, 5, 10, 20, 50, 100, 200, 500] {
        harness.proxy().reset();
        harness.pass(Duration::from_millis(pause));
    }
    harness.fault_ends();
    harness.finish();
}
