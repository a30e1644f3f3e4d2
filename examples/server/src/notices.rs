//! The notices of the backplane as lines of the log.

use std::sync::Arc;

use futures::StreamExt;
use midplane::core::Incident;
use midplane::{Instant, Notice, State};

use crate::state::App;

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
            app.live.set(state == State::Live);
            match state {
                State::Live => tracing::info!("backplane live"),
                State::Closed => tracing::info!("backplane closed"),
                _ => tracing::warn!("backplane degraded"),
            }
        }
        Notice::Missed(incident) => {
            drop(noticed);
            record_incident(&incident, timer.now());
        }
        Notice::Joined(node) => tracing::info!(%node, "node joined"),
        Notice::Left(node) => tracing::info!(%node, "node left"),
        Notice::Silent(node) => tracing::warn!(%node, "node silent"),
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

/// Logs an incident, however much it cost, in one line: when the events were published, as ages, and the first of the
/// nodes that published them, of which `origins` says how many there are.
fn record_incident(incident: &Incident, now: Instant) {
    let Incident {
        missed,
        gaps,
        origins,
        first,
        connections,
        ..
    } = incident;
    let nodes: Vec<String> = first.iter().map(ToString::to_string).collect();
    tracing::warn!(
        events = missed.events,
        exact = missed.exact,
        since = ?(now - missed.since),
        until = ?(now - missed.until),
        lanes = %missed.lanes,
        gaps,
        origins,
        nodes = %nodes.join(","),
        connections,
        "events missed"
    );
}
