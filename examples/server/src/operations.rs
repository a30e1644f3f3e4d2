//! What operators ask of a server: its nodes, counts of connections and their end, and metrics.

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use midplane::core::{AgreedSettings, Reason};
use midplane::{Answers, Ask, Audience, State, Target, metrics};
use serde::{Deserialize, Serialize};

use crate::answers::{Counted, LONGEST, WITHIN, milliseconds, no_time};
use crate::health;
use crate::log;
use crate::posting;
use crate::query;
use crate::response::{Body, Failure, failure, invalid, json, respond};
use crate::state::App;

/// The text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A node, and the others that it knows.
#[derive(Serialize)]
struct Nodes {
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    bus: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<String>,
    state: &'static str,
    state_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Why events of some nodes may not come, and in which settings others differ.
    reasons: Vec<String>,
    others: Vec<OtherNode>,
}

/// A node that is heard; or one that went silent without a goodbye, for some minutes.
#[derive(Serialize)]
struct OtherNode {
    node: String,
    /// `heard`, `silent`, `deaf` if it says that it does not hear this node, or `unknown` while this node is not live.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Settings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_seconds: Option<u64>,
}

/// What nodes should agree on.
#[derive(Serialize)]
struct Settings {
    lanes: u32,
    heartbeat_ms: u128,
    time_to_live_ms: u128,
    json_lane: bool,
}

impl From<AgreedSettings> for Settings {
    fn from(settings: AgreedSettings) -> Self {
        Self {
            lanes: settings.lanes,
            heartbeat_ms: settings.heartbeat.as_millis(),
            time_to_live_ms: settings.time_to_live.as_millis(),
            json_lane: settings.json_lane,
        }
    }
}

/// `GET /nodes`.
pub(crate) fn nodes(app: &App) -> Response<Body> {
    let (state, now) = (app.plane.state(), app.runtime.timer.now());
    let noticed = app.noticed().clone();
    let status = app.node.status();
    // A node that knows why it is not live is linked.
    let linked = state == State::Live || status.reasons.iter().any(Reason::degrades);
    let heard = if linked { "heard" } else { "unknown" };
    let members = status.members.iter().cloned();
    let members: Vec<_> = members.collect();
    let silent = noticed.silent(now);
    let silent = silent.filter(|(node, _)| members.iter().all(|member| member.id != *node));
    let silent = silent.map(|(node, since)| OtherNode {
        node: node.to_string(),
        state: "silent",
        name: None,
        version: None,
        broker: None,
        settings: None,
        silent_seconds: Some((now - since).as_secs()),
    });
    let silent: Vec<_> = silent.collect();
    let heard = members.into_iter().map(|member| OtherNode {
        node: member.id.to_string(),
        state: match (member.silent, member.deaf) {
            (Some(_), _) => "silent",
            (None, Some(_)) => "deaf",
            (None, None) => heard,
        },
        name: Some(member.name),
        version: Some(member.version),
        broker: Some(member.broker).filter(|broker| !broker.is_empty()),
        settings: member.settings.map(Settings::from),
        silent_seconds: member.silent.map(|since| (now - since).as_secs()),
    });
    let nodes = Nodes {
        node: app.node.id(),
        bus: app.node.bus(),
        broker: health::broker(&status),
        state: health::word(state),
        state_seconds: (now - noticed.since).as_secs(),
        reason: noticed.bus.clone(),
        reasons: health::reasons(&status),
        others: heard.chain(silent).collect(),
    };
    json(StatusCode::OK, &nodes)
}

/// `GET /count?type=topic&id=news`, and `&within=` milliseconds: the connections of a target on every node.
pub(crate) async fn count(app: &App, query: &str) -> Response<Body> {
    let (target, within) = match asked(query) {
        Ok(asked) => asked,
        Err(message) => return invalid(message),
    };
    let answers = app.plane.count(&Audience::from(target), within).await;
    told(&answers)
}

/// `POST /disconnect` of a `target`, and `within_ms`: every connection in it is closed with 4001, on every node.
pub(crate) async fn disconnect(app: &App, request: Request<Incoming>) -> Response<Body> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Disconnect {
        target: Target,
        within_ms: Option<u64>,
    }

    let body = match posting::body(app, request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let Disconnect { target, within_ms } = match serde_json::from_slice(&body) {
        Ok(disconnect) => disconnect,
        Err(error) => return failure(StatusCode::BAD_REQUEST, &Failure::json(&error)),
    };
    let within = within_ms.map_or(WITHIN, Duration::from_millis);
    if within > LONGEST {
        return invalid(no_time("within_ms"));
    }
    let audience = Audience::from(target.clone());
    let answers = app.plane.disconnect(&audience, within).await;
    tracing::info!(%target, connections = answers.connections(), "connections disconnected");
    told(&answers)
}

fn told(answers: &Answers) -> Response<Body> {
    json(StatusCode::OK, &Counted::from(answers))
}

/// The target that a query names, and the time for answers.
fn asked(query: &str) -> Result<(Target, Duration), String> {
    let (mut kind, mut id, mut within) = (None, None, WITHIN);
    for (name, value) in query::pairs(query) {
        match name {
            "type" => kind = value,
            "id" => id = value,
            "within" => within = milliseconds(name, value.as_deref())?,
            _ => return Err("the query takes type, id and within".into()),
        }
    }
    let (Some(kind), Some(id)) = (kind, id) else {
        return Err("the query has the type and the id of a target".into());
    };
    let target = serde_json::json!({ "type": kind, "id": id });
    let target = serde_json::from_value(target).map_err(|error| error.to_string())?;
    Ok((target, within))
}

/// `GET /metrics`: what the backplane counts, and what this server does beside.
pub(crate) fn metrics(app: &App) -> Response<Body> {
    let mut text = metrics::render(&app.status());
    let counts = &app.counts;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (gauge, counter) = ("gauge", "counter");
    for (name, kind, help, value) in [
        (
            "sockets",
            gauge,
            "Sockets that speak HTTP.",
            app.sockets.open() as u64,
        ),
        (
            "connections",
            gauge,
            "WebSocket and SSE connections.",
            app.connections.open() as u64,
        ),
        (
            "connections_limit",
            gauge,
            "Connections at most.",
            app.connections.limit() as u64,
        ),
        (
            "published_total",
            counter,
            "Events published on this node.",
            count(&counts.published),
        ),
        (
            "delivered_total",
            counter,
            "Deliveries on this node of events published here.",
            count(&counts.delivered),
        ),
        (
            "lost_total",
            counter,
            "Events that clients were told they lost by being slow.",
            count(&counts.lost),
        ),
        (
            "missed_total",
            counter,
            "Events that clients were told are missing, for each client.",
            count(&counts.missed),
        ),
        (
            "missed_messages_total",
            counter,
            "Times that a client was told events may be missing.",
            count(&counts.missed_messages),
        ),
        (
            "log_lines_dropped_total",
            counter,
            "Lines of the log that nobody read in time.",
            log::dropped(),
        ),
    ] {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "# HELP midplane_server_{name} {help}\n# TYPE midplane_server_{name} {kind}\nmidplane_server_{name} {value}\n"
        );
    }
    respond(StatusCode::OK, METRICS, text)
}
