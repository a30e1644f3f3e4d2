//! The notices of the backplane as lines of the log.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::{Either, select};
use midplane::{Notice, State, log_notice};

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
            Either::Left(Some(notice)) => record(&app, &notice, &mut repeats),
            Either::Left(None) => return,
            Either::Right(left) => {
                for (line, count) in left {
                    tracing::warn!(line, count, "log lines summarised");
                }
            }
        }
    }
}

fn record(app: &App, notice: &Notice, repeats: &mut Repeats) {
    let now = app.runtime.timer.now();
    let mut noticed = app.noticed();
    let repeated = match notice {
        Notice::State(state) => {
            noticed.since = now;
            if *state == State::Live {
                noticed.bus = None;
            }
            None
        }
        Notice::Joined(node) => {
            noticed.spoke(*node);
            Some(Repeated::Joined)
        }
        Notice::Left(node) => {
            noticed.spoke(*node);
            Some(Repeated::Left)
        }
        Notice::Silent(node) => {
            noticed.fell_silent(*node, now);
            Some(Repeated::Silent)
        }
        Notice::Bus(reason) => {
            noticed.failures += 1;
            noticed.bus = Some(reason.clone());
            Some(Repeated::LinkLost)
        }
        Notice::Differs(_) => Some(Repeated::Differs),
        _ => None,
    };
    drop(noticed);
    if let Notice::State(state) = notice {
        app.live.set(*state == State::Live);
    }
    if repeated.is_none_or(|kind| repeats.admits(kind)) {
        log_notice(notice, now, || app.node.status().reasons);
    }
}
