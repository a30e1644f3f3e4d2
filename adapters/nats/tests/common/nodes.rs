//! Whole nodes.

use std::sync::Arc;
use std::time::Duration;

use midplane::node::Config;
use midplane::{Backplane, Cluster, State, fresh_node_id};
use midplane_nats::Nats;
use midplane_testkit::eventually;

/// The heartbeat of the nodes.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(300);

/// A node of this number of lanes on the server at this URL.
pub(crate) fn node(url: &str, lanes: u32) -> Cluster {
    let config = Config {
        heartbeat: HEARTBEAT,
        lanes,
        ..Config::default()
    };
    let bus = Arc::new(Nats::new(url).expect("a URL"));
    let timer = Arc::new(midplane::threads::Timer::new());
    let id = fresh_node_id().expect("an id");
    let (node, driver) = Cluster::new(id, bus, timer, config);
    midplane::threads::spawn(driver);
    node
}

pub(crate) async fn are_live(nodes: &[Cluster]) {
    eventually("all are live", || {
        nodes.iter().all(|node| node.state() == State::Live)
    })
    .await;
}
