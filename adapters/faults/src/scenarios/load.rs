//! Many nodes, much to do, and no time.

use std::time::{Duration, Instant};

use midplane::Target;
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy;

use crate::{Broker, ClusterShape, HEARTBEAT, Harness, Way};

/// How soon all of many nodes are back.
const BACK: Duration = Duration::from_secs(15);

/// The server restarts under twenty nodes.
pub fn twenty_nodes_reconnect_at_once(broker: &dyn Broker) {
    reconnect(broker, 20, Duration::from_secs(1));
}

/// The server restarts under two hundred nodes.
pub fn two_hundred_nodes_reconnect_at_once(broker: &dyn Broker) {
    reconnect(broker, 200, broker.heartbeat_of_200_nodes());
}

fn reconnect(broker: &dyn Broker, nodes: usize, heartbeat: Duration) {
    // They publish less each, so that it is the same in sum.
    let pace = Duration::from_millis(40) * nodes as u32;
    let shape = ClusterShape {
        nodes,
        heartbeat,
        pace,
        ..ClusterShape::default()
    };
    let harness = Harness::with(broker, Way::Direct, &[Executor::TokioMulti], shape);
    let cluster = &harness.clusters()[0];
    let killed = cluster.recorder().now();
    harness.fault_begins();
    broker.server().restart();
    harness.fault_ends();
    let start = Instant::now();
    harness.all_live();
    let took = start.elapsed();
    assert!(took < BACK, "{nodes} nodes are live after {took:?}");
    // The first tries are spread over an eighth of a heartbeat.
    let most = cluster.attempts().most_within(heartbeat / 64, killed);
    assert!(
        most <= nodes * 3 / 4,
        "{most} of {nodes} nodes knock at once"
    );
    harness.finish();
}

/// A node is closed while it publishes as fast as it can: it is gone within the deadline, what it could
/// not send is reported, and the others miss nothing else.
pub fn stop_under_load(broker: &dyn Broker) {
    const DEADLINE: Duration = Duration::from_secs(4);
    let harness = Harness::open(broker, Way::Direct);
    for cluster in harness.clusters() {
        let node = cluster.nodes()[0].clone();
        let mut publisher = node.publisher();
        let audience = Target::topic("lobby").expect("a topic").into();
        for _ in 0..3_000 {
            let _ = publisher.publish(&audience, 40);
        }
        let start = Instant::now();
        // What it reports as not sent is held against it by the oracle.
        let _ = cluster.run(async move { node.close(DEADLINE).await });
        let took = start.elapsed();
        assert!(took < DEADLINE + Duration::from_secs(1), "{took:?}");
    }
    harness.finish();
}

/// Nodes do not read, and so much comes that the server gives them up. Where it does not, it is held back,
/// and comes later.
pub fn consumer_too_slow(broker: &dyn Broker) {
    let length = HEARTBEAT * 3;
    // What is not given up is to be worked off.
    let events = if broker.drop_slow_consumers() {
        2_000
    } else {
        200
    };
    let mut harness = Harness::open(broker, Way::Proxied);
    harness.bounds.delay += length;
    harness.fault_begins();
    harness.proxy().hold(proxy::Way::ToClient);
    harness.nobody_may_be_live();
    for cluster in harness.clusters() {
        let mut publisher = cluster.nodes()[0].publisher();
        let audience = Target::topic("lobby").expect("a topic").into();
        for _ in 0..events {
            let _ = publisher.publish(&audience, 1_000);
        }
    }
    harness.pass(length);
    harness.everybody_may_be_live();
    harness.proxy().pass(proxy::Way::ToClient);
    harness.fault_ends();
    harness.finish();
}
