//! What nodes hear of what is published, by how many lanes there are.

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

/// Who is where, and what is published.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    /// How many nodes there are.
    pub nodes: usize,
    /// How many lanes.
    pub lanes: u32,
    /// How many connections each node has, each with a user of its own.
    pub connections: usize,
    /// How many events are published, each on any node to any user.
    pub publishes: usize,
}

/// What one node heard, by lane, in frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What there was on the lanes on which it has members, and on lane 0.
    pub wanted: BTreeMap<Lane, u64>,
    /// What came.
    pub came: BTreeMap<Lane, u64>,
}

impl Heard {
    /// The frames that came.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.came.values().sum()
    }
}

struct Node {
    cluster: Cluster,
    counted: Arc<Counted>,
    _connections: Vec<Attachment>,
    lanes: BTreeSet<Lane>,
}

/// Starts the nodes on these buses, publishes, and gives what each heard once all of it arrived.
///
/// # Panics
/// When what is published does not arrive at those it is for, or not on all lanes with members.
pub async fn hear(
    scene: Scene,
    bus: impl Fn() -> Arc<dyn Bus>,
    timer: &Arc<dyn Timer>,
    spawn: impl Fn(BoxFuture<'static, ()>),
) -> Vec<Heard> {
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
        let counted = Arc::new(Counted::new(bus()));
        let id = fresh_node_id().expect("randomness");
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
            joined(&attachment, &user(number, connection)).await;
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
    let mut sent = BTreeMap::<Lane, u64>::new();
    for _ in 0..scene.publishes {
        let target = user(below(scene.nodes), below(scene.connections));
        *sent.entry(lane(&target)).or_default() += 1;
        let cluster = &nodes[below(scene.nodes)].cluster;
        let receipt = cluster.publish(&target.into(), &Event::text("event"));
        assert_eq!(receipt.relay, Relay::Queued);
        // One frame for each: what is published while another frame is written would share the next one.
        cluster.flush().await.expect("the bus takes it");
    }
    let wanted = |node: &Node| -> BTreeMap<Lane, u64> {
        let sent = sent.iter().map(|(lane, frames)| (*lane, *frames));
        sent.filter(|(lane, _)| node.lanes.contains(lane)).collect()
    };
    eventually("every event at its connection", || {
        delivered.load(Ordering::Relaxed) >= scene.publishes as u64
    })
    .await;
    let sum = |frames: &BTreeMap<Lane, u64>| frames.values().sum::<u64>();
    for node in &nodes {
        eventually("every frame that a node wants", || {
            sum(&node.counted.frames()) >= sum(&wanted(node))
        })
        .await;
    }
    assert_eq!(delivered.load(Ordering::Relaxed), scene.publishes as u64);
    let heard = nodes.iter().map(|node| Heard {
        wanted: wanted(node),
        came: node.counted.frames(),
    });
    heard.collect()
}

/// Joins, once the node has its session too.
async fn joined(attachment: &Attachment, target: &Target) {
    let mut reach = attachment.associate(target).await;
    while reach == Ok(Reach::Here) {
        attachment.dissociate(target);
        midplane_testkit::wait::pause().await;
        reach = attachment.associate(target).await;
    }
    assert_eq!(reach, Ok(Reach::Everywhere));
}
