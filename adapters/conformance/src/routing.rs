//! How many frames nodes receive for each publish, by the number of lanes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use midplane::bus::{Bus, Lane};
use midplane::node::Config;
use midplane::{
    Attachment, Backplane, Cluster, ConnectionId, Event, LaneMap, Reach, Relay, Scope, Sink,
    Target, Timer, fresh_node_id,
};

use midplane_testkit::eventually;
use midplane_testkit::random::Random;

use crate::Counted;

/// A cluster, its connections, and what is published.
#[derive(Debug, Clone, Copy)]
pub struct RoutingScene {
    /// The number of nodes.
    pub nodes: usize,
    /// The number of lanes.
    pub lanes: u32,
    /// The number of connections of each node, each with a user of its own.
    pub connections: usize,
    /// The number of events, each published on a random node to a random user.
    pub publishes: usize,
}

/// The frames that one node received of others, by lane: of its own a bus may bring all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedFrames {
    /// The frames that others sent on lane 0, and on the lanes on which the node has members.
    pub expected: BTreeMap<Lane, u64>,
    /// The frames that arrived.
    pub arrived: BTreeMap<Lane, u64>,
}

impl ReceivedFrames {
    /// The number of frames that arrived.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.arrived.values().sum()
    }
}

struct Node {
    cluster: Cluster,
    counted: Arc<Counted>,
    _connections: Vec<Attachment>,
    lanes: BTreeSet<Lane>,
}

/// Starts a node on each of these buses, publishes, and returns what each node received once every event arrived.
///
/// # Panics
/// When an event does not arrive at its user, or a frame not on each lane with members.
pub async fn measure(
    scene: RoutingScene,
    bus: impl Fn() -> Arc<dyn Bus>,
    timer: &Arc<dyn Timer>,
    spawn: impl Fn(BoxFuture<'static, ()>),
) -> Vec<ReceivedFrames> {
    let delivered = Arc::<AtomicU64>::default();
    let config = Config {
        lanes: scene.lanes,
        ..Config::default()
    };
    let map = LaneMap::new(scene.lanes);
    let lane = |target: &Target| map.lane(&Scope::default(), &target.clone().into());
    let user =
        |node: usize, number: usize| Target::user(format!("{node}-{number}")).expect("a short id");
    let mut nodes = Vec::new();
    for number in 0..scene.nodes {
        let id = fresh_node_id().expect("randomness");
        let counted = Arc::new(Counted::new(bus(), id));
        let (cluster, driver) = Cluster::new(id, counted.clone(), timer.clone(), config);
        spawn(Box::pin(driver));
        let mut connections = Vec::new();
        let mut lanes = BTreeSet::from([Lane(0)]);
        for connection in 0..scene.connections {
            let id = ConnectionId::new(format!("{number}-{connection}")).expect("a short id");
            let delivered = delivered.clone();
            let sink = Sink::new(move |_: &Event| {
                delivered.fetch_add(1, Ordering::Relaxed);
            });
            lanes.insert(lane(&Target::Connection(id.clone())));
            lanes.insert(lane(&user(number, connection)));
            let attachment = cluster.attach(id, sink);
            associate_everywhere(&attachment, &user(number, connection)).await;
            connections.push(attachment);
        }
        nodes.push(Node {
            cluster,
            counted,
            _connections: connections,
            lanes,
        });
    }
    let mut random = Random::new(1);
    let mut below = |bound: usize| random.below(bound as u64) as usize;
    let mut sent = BTreeMap::<(usize, Lane), u64>::new();
    for _ in 0..scene.publishes {
        let target = user(below(scene.nodes), below(scene.connections));
        let publisher = below(scene.nodes);
        *sent.entry((publisher, lane(&target))).or_default() += 1;
        let cluster = &nodes[publisher].cluster;
        let receipt = cluster.publish(&target.into(), &Event::text("event"));
        assert_eq!(receipt.relay, Relay::Queued);
        // Flushed alone, each event has a frame of its own.
        cluster.flush().await.expect("the bus takes it");
    }
    let expected = |number: usize| {
        let mut expected = BTreeMap::<Lane, u64>::new();
        let lanes = &nodes[number].lanes;
        for ((publisher, lane), frames) in &sent {
            if *publisher != number && lanes.contains(lane) {
                *expected.entry(*lane).or_default() += frames;
            }
        }
        expected
    };
    eventually("every event at its connection", || {
        delivered.load(Ordering::Relaxed) >= scene.publishes as u64
    })
    .await;
    let sum = |frames: &BTreeMap<Lane, u64>| frames.values().sum::<u64>();
    for (number, node) in nodes.iter().enumerate() {
        eventually("every frame that a node wants", || {
            sum(&node.counted.frames()) >= sum(&expected(number))
        })
        .await;
    }
    assert_eq!(delivered.load(Ordering::Relaxed), scene.publishes as u64);
    let received = nodes
        .iter()
        .enumerate()
        .map(|(number, node)| ReceivedFrames {
            expected: expected(number),
            arrived: node.counted.frames(),
        });
    received.collect()
}

/// Associates, again and again until the association reaches everywhere.
async fn associate_everywhere(attachment: &Attachment, target: &Target) {
    let mut reach = attachment.associate(target).await;
    while reach == Ok(Reach::Here) {
        attachment.dissociate(target);
        midplane_testkit::wait::pause().await;
        reach = attachment.associate(target).await;
    }
    assert_eq!(reach, Ok(Reach::Everywhere));
}
