//! The connections and publishers of one node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use midplane::{Audience, ConnectionId, Target, Timer};
use midplane_conformance::history::{RecordedNode, SinkOutcome};
use midplane_testkit::random::Random;

use crate::shape::HEARTBEAT;

/// The connections of each node that stay.
pub(crate) const RESIDENTS: [&str; 2] = ["first", "second"];

/// The connection of each node that comes and goes.
const GUEST: &str = "guest";

pub(crate) fn lobby() -> Target {
    Target::topic("lobby").expect("a topic of a few letters")
}

fn connection_id(name: &str) -> ConnectionId {
    ConnectionId::new(name).expect("an id of a few letters")
}

/// What the connections and publishers of one node need. A clone is of the same node.
#[derive(Clone)]
pub(crate) struct Workload {
    pub(crate) node: RecordedNode,
    pub(crate) timer: Arc<dyn Timer>,
    /// The time between two events, on average.
    pub(crate) pace: Duration,
    /// Whether the workload is to come to rest.
    pub(crate) stopping: Arc<AtomicBool>,
}

impl Workload {
    fn runs(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed)
    }

    /// A connection that stays until the end.
    pub(crate) async fn stay(self, name: &'static str) {
        let connection = self
            .node
            .attach(&connection_id(name), |_| SinkOutcome::Accepted);
        let _ = connection.associate(&lobby()).await;
        while self.runs() {
            self.timer.sleep(HEARTBEAT).await;
        }
        // The last events are still to arrive, and to be accounted for.
        self.timer.sleep(HEARTBEAT * 60).await;
    }

    /// A connection that comes and goes, and awaits each detach.
    pub(crate) async fn come_and_go(self) {
        let id = connection_id(GUEST);
        while self.runs() {
            let connection = self.node.attach(&id, |_| SinkOutcome::Accepted);
            let associated = connection.associate(&lobby());
            self.timer.sleep(Duration::from_millis(90)).await;
            let _ = associated.await;
            connection.dissociate(&lobby());
            connection.detach().await;
        }
    }

    /// A publisher: most of its events are for all connections that stay.
    pub(crate) async fn publish(self) {
        let id = self.node.id().0;
        let seed = u64::from_le_bytes(id[..8].try_into().expect("eight bytes"));
        let mut random = Random::new(seed);
        let mut publisher = self.node.publisher();
        while self.runs() {
            let audience = match random.below(8) {
                0 => Target::Connection(connection_id(GUEST)).into(),
                1 => Audience::from(lobby()).except(connection_id(RESIDENTS[0])),
                _ => lobby().into(),
            };
            let _ = publisher.publish(&audience, random.below(300) as usize);
            let factor = 0.5 + random.below(1_000) as f64 / 1_000.0;
            self.timer.sleep(self.pace.mul_f64(factor)).await;
        }
    }
}
