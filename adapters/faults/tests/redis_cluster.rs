//! The faults of a Redis Cluster, under whole nodes.

use std::time::Duration;

use midplane_faults::{ClusterShape, HEARTBEAT, Harness, RedisClusterBroker, Route};
use midplane_testkit::executor::Executor;

/// Every lane's slot goes to another master, three times. A subscriber at the former master is notified, or receives
/// nothing; a publisher there is refused.
#[test]
fn slots_move() {
    let broker = RedisClusterBroker::start_cluster();
    let shape = ClusterShape {
        lanes: 16,
        ..ClusterShape::default()
    };
    let executors = [Executor::Smol, Executor::TokioCurrent, Executor::TokioMulti];
    let harness = Harness::start_with(&broker, Route::Direct, &executors, shape);
    for _ in 0..3 {
        harness.fault_begins();
        assert!(broker.move_slots() > 0, "some lane is subscribed");
        harness.fault_ends();
        // Two missed heartbeats show which node still receives nothing.
        harness.pass(HEARTBEAT * 3 + Duration::from_millis(500));
        harness.wait_all_live();
    }
    harness.finish();
}

midplane_faults::faults!(
    RedisClusterBroker::start_cluster(),
    outage::subscribers_cut
    access::credentials_break_and_heal
    access::permission_removed_and_given_back
);
