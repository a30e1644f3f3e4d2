//! Many nodes, many events, and little time.

use std::time::{Duration, Instant};

use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::Way;

use crate::workload::lobby;
use crate::{Broker, ClusterShape, HEARTBEAT, Harness, Route};

/// The longest time from a restart of the server until all of many nodes are live.
const BACK: Duration = Duration::from_secs(15);

/// The server restarts under 20 nodes.
pub fn twenty_nodes_reconnect_at_once(broker: &dyn Broker) {
    reconnect(broker, 20, Duration::from_secs(1));
}

/// The server restarts under 200 nodes.
pub fn two_hundred_nodes_reconnect_at_once(broker: &dyn Broker) {
    reconnect(broker, 200, broker.heartbeat_of_200_nodes());
}

fn reconnect(broker: &dyn Broker, nodes: usize, heartbeat: Duration) {
    let shape = ClusterShape {
        nodes,
        heartbeat,
        // Each publishes less, for the same sum.
        pace: Duration::from_millis(40) * nodes as u32,
        ..ClusterShape::default()
    };
    let harness = Harness::start_with(broker, Route::Direct, &[Executor::TokioMulti], shape);
    let cluster = &harness.clusters()[0];
    let killed = cluster.recorder().now();
    harness.fault_begins();
    broker.server().restart();
    harness.fault_ends();
    let start = Instant::now();
    harness.wait_all_live();
    let took = start.elapsed();
    assert!(took < BACK, "{nodes} nodes are live after {took:?}");
    // The first attempts are spread over an eighth of a heartbeat.
    let most = cluster.attempts().most_within(heartbeat / 64, killed);
    assert!(
        most <= nodes * 3 / 4,
        "{most} of {nodes} nodes connect at once"
    );
    harness.finish();
}

/// A node is closed while it publishes as fast as it can: it is gone within the deadline, reports what it could not
/// send, and the others miss nothing else.
pub fn stop_under_load(broker: &dyn Broker) {
    const DEADLINE: Duration = Duration::from_secs(4);
    let harness = Harness::start(broker, Route::Direct);
    for cluster in harness.clusters() {
        let node = cluster.nodes()[0].clone();
        let mut publisher = node.publisher();
        for _ in 0..3_000 {
            let _ = publisher.publish(&lobby().into(), 40);
        }
        let start = Instant::now();
        // The oracle judges what the report says was not sent.
        let _ = cluster.run(async move { node.close(DEADLINE).await });
        let took = start.elapsed();
        assert!(took < DEADLINE + Duration::from_secs(1), "{took:?}");
    }
    harness.finish();
}

/// Nodes do not read, and more is sent to them than the server keeps for a consumer: it drops them, or waits and
/// delivers later.
pub fn consumer_too_slow(broker: &dyn Broker) {
    let length = HEARTBEAT * 3;
    // A server that waits delivers all of it later.
    let drops = broker.drop_slow_consumers();
    let events = if drops { 2_000 } else { 200 };
    let mut harness = Harness::start(broker, Route::Proxied);
    harness.bounds.delay += length;
    let flood = || {
        harness.proxy().hold(Way::ToClient);
        for cluster in harness.clusters() {
            let mut publisher = cluster.nodes()[0].publisher();
            for _ in 0..events {
                let _ = publisher.publish(&lobby().into(), 1_000);
            }
        }
    };
    harness.outage(length, flood, || harness.proxy().pass(Way::ToClient));
    harness.finish();
}
