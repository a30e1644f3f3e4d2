//! The server is gone, or stands still.

use std::time::Duration;

use crate::{Broker, Harness, Way};

/// The server is killed, and comes back after a second.
pub fn bus_killed_for_1_s(broker: &dyn Broker) {
    killed(broker, Duration::from_secs(1));
}

/// The same after 10 seconds.
pub fn bus_killed_for_10_s(broker: &dyn Broker) {
    killed(broker, Duration::from_secs(10));
}

/// The same after 90 seconds, which outlasts every event and what drivers retry for.
pub fn bus_killed_for_90_s(broker: &dyn Broker) {
    killed(broker, Duration::from_secs(90));
}

fn killed(broker: &dyn Broker, outage: Duration) {
    let harness = Harness::open(broker, Way::Direct);
    harness.fault_begins();
    broker.server().kill();
    harness.nobody_may_be_live();
    harness.pass(outage);
    harness.everybody_may_be_live();
    broker.server().restart();
    harness.fault_ends();
    harness.finish();
}

/// The server stands still for 3 seconds with every connection open: sessions die of it in the middle of a
/// publish, which goes out again on the next, and then the server goes on with both.
pub fn bus_stopped_for_3_s(broker: &dyn Broker) {
    stopped(broker, Duration::from_secs(3));
}

/// The same for 30 seconds, as long as an event lives.
pub fn bus_stopped_for_30_s(broker: &dyn Broker) {
    stopped(broker, Duration::from_secs(30));
}

fn stopped(broker: &dyn Broker, stall: Duration) {
    let mut harness = Harness::open(broker, Way::Direct);
    harness.bounds.delay += stall;
    harness.fault_begins();
    broker.server().stop();
    harness.nobody_may_be_live();
    harness.pass(stall);
    harness.everybody_may_be_live();
    broker.server().thaw();
    harness.fault_ends();
    harness.finish();
}

/// What the nodes hear by ends, again and again; what they send by stays, if it is another connection.
pub fn subscribers_cut(broker: &dyn Broker) {
    let harness = Harness::open(broker, Way::Direct);
    for _ in 0..3 {
        harness.fault_begins();
        broker.cut_subscribers();
        harness.fault_ends();
        harness.pass(Duration::from_millis(700));
    }
    harness.finish();
}

/// Every connection is reset, again and again, faster than sessions can be opened, and then less often.
pub fn sessions_reset(broker: &dyn Broker) {
    let harness = Harness::open(broker, Way::Proxied);
    harness.fault_begins();
    for pause in [0, 1, 2, 5, 10, 20, 50, 100, 200, 500] {
        harness.proxy().reset();
        harness.pass(Duration::from_millis(pause));
    }
    harness.fault_ends();
    harness.finish();
}
