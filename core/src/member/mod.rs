//! What is known of the other nodes of a cluster, and why a node is not sure to reach them all.

mod signing;

use alloc::string::String;
use core::fmt;
use core::time::Duration;

pub use signing::{KeyIds, SigningMode, SigningSettings};

use crate::node_id::NodeId;
use crate::time::Instant;

/// The settings of a node that the nodes of a cluster should agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgreedSettings {
    /// How many lanes the bus is divided into.
    pub lanes: u32,
    /// The time between two heartbeats.
    pub heartbeat: Duration,
    /// How late an event may arrive.
    pub time_to_live: Duration,
    /// Whether the node is subscribed to the lane of external publishers.
    pub json_lane: bool,
    /// How the node signs; `None` where it does not say.
    pub signing: Option<SigningSettings>,
}

/// Another node, as it says it is, and whether it and this node hear each other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownNode {
    /// The node's id.
    pub id: NodeId,
    /// The node's name for people, at most 64 bytes; its id where the node says no name.
    pub name: String,
    /// The version of midplane that the node says it runs.
    pub version: String,
    /// The identity of the broker that the node is connected to, at most 128 bytes; empty where it is not known.
    pub broker: String,
    /// The settings of the node; `None` where it does not say them.
    pub settings: Option<AgreedSettings>,
    /// Since when nothing of the node was heard, if it was given up without a goodbye.
    pub silent: Option<Instant>,
    /// Since when the node says that it does not hear this one.
    pub deaf: Option<Instant>,
}

/// A setting that differs between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The other node.
    pub node: NodeId,
    /// The other node's name for people.
    pub name: String,
    /// The setting.
    pub setting: AgreedSetting,
    /// The value here.
    pub ours: String,
    /// The value at the other node.
    pub theirs: String,
}

/// The name of a setting that nodes should agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AgreedSetting {
    /// The number of lanes. While it differs, every event goes on lane 0, which all nodes hear.
    Lanes,
    /// The time between two heartbeats. Each node is judged by its own.
    Heartbeat,
    /// The time to live. The shorter one counts between two nodes.
    TimeToLive,
    /// The lane of external publishers: their events do not reach the connections of a node without it.
    JsonLane,
    /// The name of the cluster. Nothing of a node with another is taken.
    Cluster,
    /// How nodes sign, and the keys they know. Nothing of a node that signs with no known key is taken where signatures are
    /// required: what is said of it then is what its frames say, and proven by nothing.
    Signing,
}

/// The word in logs: `lanes`, `heartbeat`, `time_to_live`, `json_lane`, `cluster`, `signing`.
impl fmt::Display for AgreedSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lanes => "lanes",
            Self::Heartbeat => "heartbeat",
            Self::TimeToLive => "time_to_live",
            Self::JsonLane => "json_lane",
            Self::Cluster => "cluster",
            Self::Signing => "signing",
        })
    }
}

/// As fields of a line of a log.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            name,
            setting,
            ours,
            theirs,
        } = self;
        write!(
            f,
            "setting={setting} ours={ours} theirs={theirs} name={name} node={node}"
        )
    }
}

/// Why a node is not sure to reach every member, or what else its operators should know of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Fewer nodes hear each other than [were expected](crate::node::Config::expected_members).
    Few {
        /// How many do, this one among them.
        heard: usize,
        /// How many were expected.
        expected: usize,
    },
    /// More nodes are heard than [are kept track of](crate::node::Config::peers): what the others publish does not come, and
    /// is told as missing.
    Full {
        /// How many other nodes are kept track of at most.
        room: usize,
    },
    /// A member that is heard here says that it does not hear this node.
    NotHeardBy {
        /// The member.
        node: NodeId,
        /// The member's name for people.
        name: String,
        /// Since when the member says so.
        since: Instant,
    },
    /// A member is not heard here, and others hear it.
    DeafTo {
        /// The member.
        node: NodeId,
        /// The member's name for people.
        name: String,
        /// When the member was heard last.
        since: Instant,
    },
    /// A member is not heard without having said goodbye, here or by others: it died, or is on another bus.
    Silent {
        /// The member.
        node: NodeId,
        /// The member's name for people.
        name: String,
        /// The broker that the member said it was connected to, or nothing.
        broker: String,
        /// When the member was heard last.
        since: Instant,
    },
    /// A member is set otherwise, or a node of another cluster is on the same bus. Nothing is lost in silence by it.
    Differs(Difference),
}

impl Reason {
    /// Whether the node is not live for this reason.
    #[must_use]
    pub const fn degrades(&self) -> bool {
        !matches!(self, Self::Differs(_))
    }
}

/// For people: what is the matter, with the names of the nodes.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Few { heard, expected } => {
                write!(f, "{heard} of {expected} expected members are heard")
            }
            Self::Full { room } => {
                write!(
                    f,
                    "more than {room} other nodes are heard, and not all are taken"
                )
            }
            Self::NotHeardBy { name, .. } => write!(f, "not heard by {name}"),
            Self::DeafTo { name, .. } => write!(f, "{name} is heard by others and not here"),
            Self::Silent { name, broker, .. } if broker.is_empty() => {
                write!(f, "{name} is silent and said no goodbye")
            }
            Self::Silent { name, broker, .. } => {
                write!(
                    f,
                    "{name} is silent and said no goodbye, its broker was {broker}"
                )
            }
            Self::Differs(difference) => difference.sentence(f),
        }
    }
}

impl Difference {
    fn sentence(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            setting,
            ours,
            theirs,
            ..
        } = self;
        match setting {
            AgreedSetting::Cluster => {
                write!(f, "cluster {theirs} shares the prefix: {name} is refused")
            }
            AgreedSetting::JsonLane => write!(
                f,
                "json_lane differs: {ours} here, {theirs} at {name}: events of programs do not reach every node"
            ),
            _ => write!(f, "{setting} differs: {ours} here, {theirs} at {name}"),
        }
    }
}
