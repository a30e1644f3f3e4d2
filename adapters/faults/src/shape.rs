//! How many nodes a cluster has, and how they are set up.

use std::time::Duration;

use midplane::node::Config;

/// The time between two heartbeats. The nodes of a test share two cores with others, so it leaves room for delays.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// The nodes of a cluster under test.
#[derive(Debug, Clone, Copy)]
pub struct ClusterShape {
    /// The number of nodes.
    pub nodes: usize,
    /// The time between two heartbeats of each.
    pub heartbeat: Duration,
    /// The time between two events that each publishes, on average.
    pub pace: Duration,
    /// The number of lanes the bus is divided into.
    pub lanes: u32,
}

impl Default for ClusterShape {
    fn default() -> Self {
        Self {
            nodes: 2,
            heartbeat: HEARTBEAT,
            pace: Duration::from_millis(25),
            lanes: 1,
        }
    }
}

impl ClusterShape {
    pub(crate) fn config(&self) -> Config {
        Config {
            heartbeat: self.heartbeat,
            lanes: self.lanes,
            ..Config::default()
        }
    }
}
