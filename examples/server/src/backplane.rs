//! From the settings to the backplane, and what it tells on the way.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use midplane::node;
use midplane::{
    Backplane, Cluster, ExternalEvent, Instant, Local, Notice, Registry, State, fresh_node_id, json,
};
use midplane_connect::{BusKind, ConnectError, Settings};

use crate::Runtime;
use crate::config::Config;
use crate::request::{Fault, is_reserved};
use crate::serve::RunError;
use crate::state::App;

/// What the flags or else the environment say; `None` for a single node.
pub(crate) fn settings(config: &Config) -> Result<Option<Settings>, ConnectError> {
    let settings = match &config.backplane {
        Some(url) => Some(Settings::parse(url)?),
        None => Settings::from_env()?,
    };
    match (settings, &config.backplane_prefix) {
        (None, Some(_)) => Err(ConnectError::MissingBackplane),
        (None, None) => Ok(None),
        (Some(settings), None) => Ok(Some(settings)),
        (Some(settings), Some(prefix)) => settings.with_prefix(prefix).map(Some),
    }
    .map(|settings| settings.map(|settings| settings.with_deadline(config.backplane_timeout)))
}

/// The backplane of a server, with what only one of several nodes has.
pub(crate) struct Plane {
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) cluster: Option<(BusKind, Cluster)>,
}

impl Plane {
    /// A single node, or one among others once its bus has let us in; its driver is spawned.
    pub(crate) async fn open(
        config: &Config,
        runtime: &Runtime,
        settings: Option<&Settings>,
    ) -> Result<Self, RunError> {
        let limit = u32::try_from(config.max_targets).unwrap_or(u32::MAX);
        let registry = Registry::with_limit(limit);
        let Some(settings) = settings else {
            return Ok(Self {
                backplane: Arc::new(Local::with_registry(registry)),
                cluster: None,
            });
        };
        let bus = settings.open(&*runtime.timer).await?;
        let mut builder = Cluster::builder(node_config(config)).with_registry(registry);
        if config.json_lane {
            builder = builder.with_external(decode);
        }
        let id = fresh_node_id()?;
        let (cluster, driver) = builder.build(id, bus, runtime.timer.clone());
        runtime.spawn(driver);
        Ok(Self {
            backplane: Arc::new(cluster.clone()),
            cluster: Some((settings.kind(), cluster)),
        })
    }
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cluster {
            Some((kind, cluster)) => write!(f, "backplane: {kind}, as node {}", cluster.id()),
            None => f.write_str("backplane: none, events stay in this process; see --backplane"),
        }
    }
}

fn node_config(config: &Config) -> node::Config {
    node::Config {
        heartbeat: config.heartbeat,
        time_to_live: config.time_to_live,
        lanes: config.lanes,
        cool_down: config.cool_down,
        queue: config.relay_queue,
        ..node::Config::default()
    }
}

/// JSON as [`json`] has it, but for an event that would pass for a message of the server.
fn decode(message: &Bytes) -> Result<ExternalEvent, String> {
    let external = json::decode(message).map_err(|error| error.to_string())?;
    match external.event.as_text() {
        Some(text) if is_reserved(text) => Err(Fault::Reserved.to_string()),
        _ => Ok(external),
    }
}

/// What the notices of the backplane say: the last state and reason, and counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct NoticeLog {
    /// When the state changed last, on the runtime's clock.
    pub(crate) since: Instant,
    /// Why the last link with the bus ended or was not opened.
    pub(crate) bus: Option<String>,
    /// Gaps: ranges of messages that this node missed.
    pub(crate) gaps: u64,
    /// The messages in those gaps.
    pub(crate) missed: u64,
    /// Times in which this node may have missed anything.
    pub(crate) deaf: u64,
    /// Links that ended or were not opened.
    pub(crate) failures: u64,
}

/// Logs the notices of the backplane, and keeps what operators ask for, until the backplane is closed.
pub(crate) async fn watch(app: Arc<App>) {
    let mut notices = app.plane.notices();
    while let Some(notice) = notices.next().await {
        record(&app, notice);
    }
}

fn record(app: &App, notice: Notice) {
    let timer = &app.runtime.timer;
    let mut noticed = app.noticed();
    match notice {
        Notice::State(state) => {
            noticed.since = timer.now();
            if state == State::Live {
                noticed.bus = None;
            }
            drop(noticed);
            match state {
                State::Live => tracing::info!("backplane live"),
                State::Closed => tracing::info!("backplane closed"),
                _ => tracing::warn!("backplane degraded"),
            }
        }
        Notice::Gap { origin, lane, run } => {
            noticed.gaps += 1;
            noticed.missed += run.last - run.first + 1;
            drop(noticed);
            let (first, last) = (run.first, run.last);
            tracing::warn!(%origin, %lane, first, last, "messages lost");
        }
        Notice::Deaf {
            origin,
            since,
            until,
        } => {
            noticed.deaf += 1;
            drop(noticed);
            // Without an origin, messages of any node. The time lasted for `time`, and ended `ago`.
            let origin = origin.map(tracing::field::display);
            let (time, ago) = (until - since, timer.now() - until);
            tracing::warn!(origin, ?time, ?ago, "messages may be lost");
        }
        Notice::Joined(node) => tracing::info!(%node, "node joined"),
        Notice::Left(node) => tracing::info!(%node, "node left"),
        Notice::Silent(node) => tracing::warn!(%node, heartbeats = 10, "node silent"),
        Notice::Bus(reason) => {
            noticed.failures += 1;
            noticed.bus = Some(reason.clone());
            drop(noticed);
            tracing::warn!(%reason, "bus link lost");
        }
        Notice::Lagged(notices) => tracing::warn!(notices, "notices dropped"),
        _ => {}
    }
}
