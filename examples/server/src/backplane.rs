//! From the settings to the backplane.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use midplane::bus::Signing;
use midplane::connect::{BusKind, ConnectError, Settings, read_keys};
use midplane::core::ExternalEvent;
use midplane::node;
use midplane::{Backplane, Cluster, Local, Registry, Status, fresh_node_id, json, process_name};

use crate::config::{Config, SigningMode};
use crate::error::RunError;
use crate::request::{RequestFault, is_forged};
use crate::runtime::Runtime;

/// Where the bus of a server is, and how frames are signed on it.
#[derive(Debug)]
pub(crate) struct BusSettings {
    place: Settings,
    signing: Option<Signing>,
}

/// What the flags or else the environment say; `None` for a single node.
pub(crate) fn settings(config: &Config) -> Result<Option<BusSettings>, RunError> {
    let signing = signing(config)?;
    let place = place(config)?;
    Ok(place.map(|place| BusSettings { place, signing }))
}

fn place(config: &Config) -> Result<Option<Settings>, ConnectError> {
    let settings = match &config.backplane {
        Some(url) => Some(Settings::parse(url)?),
        None => Settings::from_env()?,
    };
    match (settings, &config.backplane_prefix) {
        (None, Some(_)) => Err(ConnectError::MissingBackplane {
            setting: "--backplane-prefix",
        }),
        (None, None) => Ok(None),
        (Some(settings), None) => Ok(Some(settings)),
        (Some(settings), Some(prefix)) => settings.with_prefix(prefix).map(Some),
    }
    .map(|settings| settings.map(|settings| settings.with_deadline(config.backplane_timeout)))
}

/// The backplane of a server, with what only one of several nodes has.
pub(crate) struct Plane {
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) node: Node,
}

/// A server's node.
pub(crate) enum Node {
    /// One without others.
    Alone(Local),
    /// One among others, and the sort of bus between them.
    Among(BusKind, Cluster),
}

impl Node {
    /// The sort of bus, or `none`.
    pub(crate) fn bus(&self) -> String {
        match self {
            Self::Alone(_) => "none".to_owned(),
            Self::Among(kind, _) => kind.to_string(),
        }
    }

    /// The name by which other nodes know this one.
    pub(crate) fn id(&self) -> Option<String> {
        match self {
            Self::Alone(_) => None,
            Self::Among(_, cluster) => Some(cluster.id().to_string()),
        }
    }

    /// Every count that is kept of the node, but those of mailboxes.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Alone(local) => local.status(),
            Self::Among(_, cluster) => cluster.status(),
        }
    }
}

impl Plane {
    /// A single node, or one among others once its bus has let us in; its driver is spawned.
    pub(crate) async fn open(
        config: &Config,
        runtime: &Runtime,
        settings: Option<&BusSettings>,
    ) -> Result<Self, RunError> {
        let limit = u32::try_from(config.max_targets).unwrap_or(u32::MAX);
        let registry = Registry::with_limit(limit);
        let Some(BusSettings { place, signing }) = settings else {
            let local = Local::with_registry(registry);
            return Ok(Self {
                backplane: Arc::new(local.clone()),
                node: Node::Alone(local),
            });
        };
        let bus = place.open(&*runtime.timer).await?;
        let mut builder = Cluster::builder(node_config(config))
            .with_registry(registry)
            .with_name(config.node_name.clone().unwrap_or_else(process_name));
        if let Some(name) = &config.cluster_name {
            builder = builder.with_cluster_name(name);
        }
        if config.json_lane {
            builder = builder.with_external(decode);
        }
        if let Some(signing) = signing {
            if config.json_lane && signing.is_required() {
                tracing::warn!("json lane closed");
            }
            builder = builder.with_signing(signing.clone());
        }
        let id = fresh_node_id()?;
        let (cluster, driver) = builder.build(id, bus, runtime.timer.clone());
        runtime.spawn(driver);
        Ok(Self {
            backplane: Arc::new(cluster.clone()),
            node: Node::Among(place.kind(), cluster),
        })
    }
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Node::Among(kind, cluster) => write!(f, "backplane: {kind}, as node {}", cluster.id()),
            Node::Alone(_) => {
                f.write_str("backplane: none, events stay in this process; see --backplane")
            }
        }
    }
}

/// How frames are signed, if there are keys. A mode without keys is none.
fn signing(config: &Config) -> Result<Option<Signing>, RunError> {
    let Some(path) = &config.bus_key_file else {
        return match config.bus_signing {
            SigningMode::Sign => Ok(None),
            SigningMode::Require => Err(RunError::NoKeys),
        };
    };
    let keys = read_keys(path)?;
    Ok(Some(match config.bus_signing {
        SigningMode::Sign => Signing::sign(keys),
        SigningMode::Require => Signing::require(keys),
    }))
}

fn node_config(config: &Config) -> node::Config {
    node::Config {
        heartbeat: config.heartbeat,
        time_to_live: config.time_to_live,
        lanes: config.lanes,
        cool_down: config.cool_down,
        queue: config.relay_queue,
        keep: config.repair_keep,
        hold: config.repair_hold,
        expected_members: config.expected_members,
        ..node::Config::default()
    }
}

/// JSON as [`json`] has it, but for an event that would pass for a message of the server.
fn decode(message: &Bytes) -> Result<ExternalEvent, String> {
    let external = json::decode(message).map_err(|error| error.to_string())?;
    match is_forged(&external.event) {
        true => Err(RequestFault::Reserved.to_string()),
        false => Ok(external),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_node_is_as_the_flags_say() {
        let flags = "--heartbeat 1s --time-to-live 3s --lanes 4 --cool-down 5s --relay-queue 6KiB \
             --repair-keep 7KiB --repair-hold 8KiB --expected-members 3";
        let line = ["server"].into_iter().chain(flags.split_whitespace());
        let config = node_config(&Config::try_parse_from(line).unwrap());
        let times = [config.heartbeat, config.time_to_live, config.cool_down];
        assert_eq!(times.map(|time| time.as_secs()), [1, 3, 5]);
        let bytes = [config.queue, config.keep, config.hold];
        assert_eq!(
            (config.lanes, bytes.map(|bytes| bytes >> 10)),
            (4, [6, 7, 8])
        );
        assert_eq!(config.expected_members, 3);
        let plain = node_config(&Config::try_parse_from(["server"]).unwrap());
        assert_eq!(plain, node::Config::default());
    }
}
