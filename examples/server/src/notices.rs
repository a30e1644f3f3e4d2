//! The notices of the backplane as lines of the log.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::{Either, select};
use midplane::core::Incident;
use midplane::{Instant, Notice, State};

use crate::health;
use crate::repeats::{Repeated, Repeats};
use crate::state::App;

/// Logs the notices of the backplane, and keeps what operators ask for, until the backplane is closed.
pub(crate) async fn watch(app: Arc<App>) {
    let mut notices = app.plane.notices();
    let mut repeats = Repeats::new(app.runtime.timer.clone());
    loop {
        let ended = match select(notices.next(), pin!(repeats.ended())).await {
            Either::Left((notice, _)) => Either::Left(notice),
            Either::Right((left, _)) => Either::Right(left),
        };
        match ended {
            Either::Left(Some(notice)) => record(&app, notice, &mut repeats),
            Either::Left(None) => return,
            Either::Right(left) => {
                for (line, count) in left {
                    tracing::warn!(line, count, "log lines summarised");
                }
            }
        }
    }
}

fn record(app: &App, notice: Notice, repeats: &mut Repeats) {
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
                _ => {
                    let reasons = health::reasons(&app.node.status()).join("; ");
                    tracing::warn!(reasons, "backplane degraded");
                }
            }
        }
        Notice::Missed(incident) => {
            drop(noticed);
            record_incident(&incident, timer.now());
        }
        Notice::Joined(node) => {
            noticed.spoke(node);
            drop(noticed);
            if repeats.admits(Repeated::Joined) {
                tracing::info!(%node, "node joined");
            }
        }
        Notice::Left(node) => {
            noticed.spoke(node);
            drop(noticed);
            if repeats.admits(Repeated::Left) {
                tracing::info!(%node, "node left");
            }
        }
        Notice::Silent(node) => {
            noticed.fell_silent(node, timer.now());
            drop(noticed);
            if repeats.admits(Repeated::Silent) {
                tracing::warn!(%node, "node silent");
            }
        }
        Notice::Differs(difference) => {
            drop(noticed);
            if repeats.admits(Repeated::Differs) {
                tracing::warn!(
                    setting = %difference.setting,
                    ours = difference.ours,
                    theirs = difference.theirs,
                    name = difference.name,
                    node = %difference.node,
                    "settings differ"
                );
            }
        }
        Notice::Bus(reason) => {
            noticed.failures += 1;
            noticed.bus = Some(reason.clone());
            drop(noticed);
            if repeats.admits(Repeated::LinkLost) {
                tracing::warn!(%reason, "bus link lost");
            }
        }
        Notice::DroppedFrames(dropped) => tracing::warn!(
            unsigned = dropped.unsigned,
            unknown_keys = dropped.unknown_keys,
            wrong_tags = dropped.wrong_tags,
            misplaced = dropped.misplaced,
            "frames dropped"
        ),
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
