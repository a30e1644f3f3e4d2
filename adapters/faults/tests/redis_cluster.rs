//! Nodes over a Redis Cluster, whose slots move.

use std::time::Duration;

use midplane_conformance::executor::Executor;
use midplane_faults::scripts::{access, outage};
use midplane_faults::{Company, HEARTBEAT, OverRedisCluster, Theatre, Way};

/// Every lane's slot goes to another master, again and again. Who heard a lane there hears of it, or nothing; who
/// publishes is refused.
#[test]
fn slots_move() {
    let broker = OverRedisCluster::start_cluster();
    let company = Company {
        lanes: 16,
        ..Company::default()
    };
    let executors = [Executor::Smol, Executor::TokioCurrent, Executor::TokioMulti];
    let theatre = Theatre::with(&broker, Way::Direct, &executors, company);
    for _ in 0..3 {
        theatre.broken();
        assert!(broker.move_slots() > 0, "somebody hears something");
        theatre.healed();
        // Two missed heartbeats show who still hears nothing.
        theatre.pass(HEARTBEAT * 3 + Duration::from_millis(500));
        theatre.all_live();
    }
    theatre.finish();
}

#[test]
fn subscribers_cut() {
    outage::subscribers_cut(&OverRedisCluster::start_cluster());
}

#[test]
fn credentials_break_and_heal() {
    access::credentials_break_and_heal(&OverRedisCluster::start_cluster());
}

#[test]
fn permission_removed_and_given_back() {
    access::permission_removed_and_given_back(&OverRedisCluster::start_cluster());
}
