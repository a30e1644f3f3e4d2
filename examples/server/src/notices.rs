//! The notices of the backplane as lines of the log.

use std::sync::Arc;

use futures::StreamExt;
use midplane::{Notice, State};

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
