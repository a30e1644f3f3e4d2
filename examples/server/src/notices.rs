//! The notices of the backplane as lines of the log.

use std::sync::Arc;

use futures::StreamExt;
use midplane::{Incident, Missed, Notice, State};

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
            let Incident {
                missed,
                gaps,
                origins,
                connections,
                ..
            } = incident;
            let Missed {
                events,
                exact,
                lanes,
                since,
                until,
                ..
            } = missed;
            // The time in which the events were published lasted for `time`, and ended `ago`. With no origin, any node
            // may have published some.
            let (time, ago) = (until - since, timer.now() - until);
            let first = incident.first.first().map(tracing::field::display);
            tracing::warn!(
                events, exact, %lanes, gaps, origins, origin = first, connections, ?time, ?ago,
                "events missed"
            );
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
