//! Nodes over a Redis Cluster, whose slots move.

use std::time::Duration;

use midplane_faults::scenarios::{access, outage};
use midplane_faults::{ClusterShape, HEARTBEAT, Harness, RedisClusterBroker, Way};
use midplane_testkit::executor::Executor;

/// Every lane's slot goes to another master, again and again. Who heard a lane there hears of it, or nothing; who
/// publishes is refused.
#[test]
fn slots_move() {
    let broker = RedisClusterBroker::start_cluster();
    let shape = ClusterShape {
        lanes: 16,
        ..ClusterShape::default()
    };
    let executors = [Executor::Smol, Executor::TokioCurrent, Executor::TokioMulti];
    let harness = Harness::with(&broker, Way::Direct, &executors, shape);
    for _ in 0..3 {
        harness.fault_begins();
        assert!(broker.move_slots() > 0, "somebody hears something");
        harness.fault_ends();
        // Two missed heartbeats show who still hears nothing.
        harness.pass(HEARTBEAT * 3 + Duration::from_millis(500));
        harness.all_live();
    }
    harness.finish();
}

#[test]
fn subscribers_cut() {
    outage::subscribers_cut(&RedisClusterBroker::start_cluster());
}

#[test]
fn credentials_break_and_heal() {
    access::credentials_break_and_heal(&RedisClusterBroker::start_cluster());
}

#[test]
fn permission_removed_and_given_back() {
    access::permission_removed_and_given_back(&RedisClusterBroker::start_cluster());
}
