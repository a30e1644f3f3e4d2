//! The health of the server, for operators and for the load balancer that sends it clients.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::{Response, StatusCode};
use midplane::core::ExternalCounts;
use midplane::node::NodeCounters;
use midplane::{State, Status};
use serde::Serialize;

use crate::log;
use crate::notice_log::NoticeLog;
use crate::response::{Body, json};
use crate::state::App;

/// All that there is to know. The status is 200 as long as the server answers at all: a bus that is away is no reason to
/// restart it.
pub(crate) fn healthz(app: &App) -> Response<Body> {
    #[derive(Serialize)]
    struct Health {
        status: &'static str,
        connections: usize,
        sockets: usize,
        backlog_bytes: usize,
        published: u64,
        delivered: u64,
        full: u64,
        closed: u64,
        panicked: u64,
        lost: u64,
        missed: u64,
        missed_messages: u64,
        refused: u64,
        log_lines_dropped: u64,
        backplane: Backplane,
    }

    let counts = &app.counts;
    let health = Health {
        status: "ok",
        connections: app.connections.open(),
        sockets: app.sockets.open(),
        backlog_bytes: app.backlog.held(),
        published: counts.published.load(Ordering::Relaxed),
        delivered: counts.delivered.load(Ordering::Relaxed),
        full: counts.full.load(Ordering::Relaxed),
        closed: counts.closed.load(Ordering::Relaxed),
        panicked: counts.panicked.load(Ordering::Relaxed),
        lost: counts.lost.load(Ordering::Relaxed),
        missed: counts.missed.load(Ordering::Relaxed),
        missed_messages: counts.missed_messages.load(Ordering::Relaxed),
        refused: counts.refused.load(Ordering::Relaxed),
        log_lines_dropped: log::dropped(),
        backplane: Backplane::of(app),
    };
    json(StatusCode::OK, &health)
}

/// What the paths of health say, to operators and to others.
#[derive(Serialize)]
struct Told {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<String>,
}

impl Told {
    fn alone(code: StatusCode, status: &'static str) -> Response<Body> {
        json(
            code,
            &Self {
                status,
                reason: None,
                reasons: Vec::new(),
                broker: None,
            },
        )
    }
}

/// The identity of the broker that the node is with, or was last.
pub(crate) fn broker(status: &Status) -> Option<String> {
    Some(status.broker.clone()).filter(|broker| !broker.is_empty())
}

/// 200 while the server is ready, else 503 and why not; with 200 too, why events of some nodes may not come, and which
/// broker the node is with: that of nodes that never met is another.
pub(crate) fn readyz(app: &App) -> Response<Body> {
    let (code, status) = readiness(app);
    let node = app.node.status();
    let reasons = reasons(&node);
    let reason = (status == DEGRADED).then(|| {
        let first = reasons.first().cloned();
        let bus = app.noticed().bus.clone().or(first);
        bus.unwrap_or_else(|| "this node does not hear its own heartbeats yet".to_owned())
    });
    json(
        code,
        &Told {
            status,
            reason,
            reasons,
            broker: broker(&node),
        },
    )
}

/// The readiness alone: for those that are no operators, load balancers among them.
pub(crate) fn is_ready(app: &App) -> Response<Body> {
    let (code, status) = readiness(app);
    Told::alone(code, status)
}

/// The server answers, and no more: for those that are no operators.
pub(crate) fn answers() -> Response<Body> {
    Told::alone(StatusCode::OK, "ok")
}

const DEGRADED: &str = "degraded";

fn readiness(app: &App) -> (StatusCode, &'static str) {
    match app.plane.state() {
        State::Closed => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        _ if !app.node.status().ready => (StatusCode::SERVICE_UNAVAILABLE, DEGRADED),
        _ if app.is_ready() => (StatusCode::OK, "ready"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    }
}

/// Why events of some nodes may not come, and in which settings others differ: the first 32.
pub(crate) fn reasons(status: &Status) -> Vec<String> {
    let reasons = status.reasons.iter().map(ToString::to_string);
    reasons.take(REASONS).collect()
}

/// The most reasons that are said.
const REASONS: usize = 32;

/// The word for a state.
pub(crate) fn word(state: State) -> &'static str {
    match state {
        State::Live => "live",
        State::Closed => "closed",
        _ => DEGRADED,
    }
}

/// The backplane, as operators see it. Where there is one node, most of it stays as it began.
#[derive(Serialize)]
struct Backplane {
    /// The sort of bus, or `none`.
    bus: String,
    /// The identity of the broker that the node is with, or was last.
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<String>,
    state: &'static str,
    state_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The other nodes, each with its version.
    members: BTreeMap<String, String>,
    queued: usize,
    queued_bytes: usize,
    /// Accepted for relay, and given up.
    given_up: u64,
    /// Events that did not come from other nodes, and will not.
    missed: u64,
    /// What they were missed in: an incident is one line of the log.
    incidents: u64,
    gaps: u64,
    deaf: u64,
    /// Reports of it that clients were given.
    reports: u64,
    /// Notices that the log lacks because it was too slow.
    notices_dropped: u64,
    session_failures: u64,
    /// Why events of some nodes may not come, and in which settings others differ.
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_failure: Option<String>,
    dropped: Dropped,
    json: Json,
}

/// What came from the bus and went nowhere, by reason.
#[derive(Serialize)]
struct Dropped {
    duplicates: u64,
    expired: u64,
    stale: u64,
    unknown_versions: u64,
    unknown_kinds: u64,
    malformed: u64,
    misplaced: u64,
    unsigned: u64,
    unknown_keys: u64,
    wrong_tags: u64,
    overflows: u64,
    unknown_senders: u64,
    /// Of nodes of another cluster.
    foreign: u64,
}

#[derive(Serialize)]
struct Json {
    understood: u64,
    refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

impl Backplane {
    fn of(app: &App) -> Self {
        let NoticeLog {
            since,
            bus,
            failures,
            ..
        } = app.noticed().clone();
        let status = app.status();
        let reasons = reasons(&status);
        let lasts: Duration = app.runtime.timer.now() - since;
        Self {
            bus: app.node.bus(),
            broker: broker(&status),
            state: word(app.plane.state()),
            state_seconds: lasts.as_secs(),
            node: app.node.id(),
            members: status
                .members
                .into_iter()
                .map(|member| (member.id.to_string(), member.version))
                .collect(),
            queued: status.queued,
            queued_bytes: status.queued_bytes,
            given_up: status.lost,
            missed: status.missed.events,
            incidents: status.missed.incidents,
            gaps: status.missed.gaps,
            deaf: status.missed.deaf,
            reports: status.missed.reports,
            notices_dropped: status.notices_dropped,
            session_failures: failures,
            reasons,
            session_failure: bus,
            dropped: status.counters.into(),
            json: status.external.into(),
        }
    }
}

impl From<NodeCounters> for Dropped {
    fn from(counters: NodeCounters) -> Self {
        Self {
            duplicates: counters.duplicates,
            expired: counters.expired,
            stale: counters.stale,
            unknown_versions: counters.unknown_versions,
            unknown_kinds: counters.unknown_kinds,
            malformed: counters.malformed,
            misplaced: counters.misplaced,
            unsigned: counters.unsigned,
            unknown_keys: counters.unknown_keys,
            wrong_tags: counters.wrong_tags,
            overflows: counters.overflows,
            unknown_senders: counters.implausible,
            foreign: counters.foreign,
        }
    }
}

impl From<ExternalCounts> for Json {
    fn from(counts: ExternalCounts) -> Self {
        Self {
            understood: counts.understood,
            refused: counts.refused,
            refusal: counts.refusal,
        }
    }
}
