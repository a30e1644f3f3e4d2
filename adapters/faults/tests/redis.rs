//! Nodes over Redis, which fails in every way.

use midplane_faults::RedisBroker;

midplane_faults::faults!(RedisBroker::start());

use std::time::Duration;

use midplane_faults::{Harness, Way};

/// Its subscribers stay connected and hear nothing, and its publishers are refused.
#[test]
fn master_demoted() {
    let broker = RedisBroker::start();
    let harness = Harness::open(&broker, Way::Direct);
    harness.fault_begins();
    broker.demote();
    harness.nobody_may_be_live();
    harness.pass(Duration::from_secs(3));
    harness.everybody_may_be_live();
    broker.promote();
    harness.fault_ends();
    harness.finish();
}

#[test]
fn descriptor_limit() {
    midplane_faults::scenarios::access::descriptor_limit(&RedisBroker::start());
}
