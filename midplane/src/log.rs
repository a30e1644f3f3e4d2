//! What a plane says in the log, so that no host writes a loop over notices.
//!
//! An outage is one incident: its first line says it, and then one line a minute at most says how it goes on. A start
//! that succeeds says nothing above the level of information.

mod summary;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::BoxStream;
use midplane_core::{Instant, Notice, Runtime};

use crate::host::Cluster;
use summary::{Line, Summary};

/// How often the counts of what was dropped are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Logs what the plane says and drops, until it is closed.
pub(crate) fn follow(
    runtime: &Arc<dyn Runtime>,
    mut notices: BoxStream<'static, Notice>,
    cluster: Cluster,
) {
    let timer = runtime.clone();
    let task = async move {
        let mut summary = Summary::default();
        let mut look = timer.sleep(LOOK);
        loop {
            let line = match select(notices.next(), &mut look).await {
                Either::Left((Some(notice), _)) => summary.notice(timer.now(), &notice),
                Either::Left((None, _)) => return,
                Either::Right(_) => {
                    look = timer.sleep(LOOK);
                    summary.look(timer.now(), &cluster.status())
                }
            };
            line.into_iter().for_each(|line| write(line, timer.now()));
        }
    };
    runtime.spawn(Box::pin(task));
}

fn write(line: Line, now: Instant) {
    match line {
        Line::Connecting => tracing::info!("backplane connecting"),
        Line::Live { outage: None, .. } => tracing::info!("backplane live"),
        Line::Live {
            outage: Some(outage),
            links,
        } => {
            tracing::info!(?outage, links, "backplane live");
        }
        Line::Degraded => tracing::warn!("backplane degraded"),
        Line::StillDegraded {
            outage,
            links,
            reason,
        } => {
            tracing::warn!(?outage, links, reason, "backplane degraded");
        }
        Line::Stopped => tracing::error!("backplane stopped"),
        Line::Closed => tracing::info!("backplane closed"),
        Line::Link { reason } => tracing::warn!(reason, "bus link lost"),
        Line::Links { links, reason } => tracing::warn!(links, reason, "bus links lost"),
        Line::Missed(incident) => {
            let nodes: Vec<String> = incident.first.iter().map(ToString::to_string).collect();
            tracing::warn!(
                events = incident.missed.events,
                exact = incident.missed.exact,
                since = ?(now - incident.missed.since),
                until = ?(now - incident.missed.until),
                lanes = %incident.missed.lanes,
                gaps = incident.gaps,
                origins = incident.origins,
                nodes = %nodes.join(","),
                connections = incident.connections,
                "events missed"
            );
        }
        Line::Joined(node) => tracing::info!(%node, "node joined"),
        Line::Left(node) => tracing::info!(%node, "node left"),
        Line::Silent(node) => tracing::warn!(%node, "node silent"),
        Line::Differs(difference) => tracing::warn!(
            setting = %difference.setting,
            ours = difference.ours,
            theirs = difference.theirs,
            name = difference.name,
            node = %difference.node,
            "settings differ"
        ),
        Line::Frames(dropped) => tracing::warn!(
            unsigned = dropped.unsigned,
            unknown_keys = dropped.unknown_keys,
            wrong_tags = dropped.wrong_tags,
            misplaced = dropped.misplaced,
            "frames dropped"
        ),
        Line::Lagged(notices) => tracing::warn!(notices, "notices dropped"),
        Line::Dropped(dropped) => tracing::warn!(
            full = dropped.full,
            panicked = dropped.panicked,
            refused = dropped.refused,
            expired = dropped.expired,
            "events dropped"
        ),
    }
}

/// No variable names a bus.
pub(crate) fn alone() {
    tracing::info!("backplane of one node: MIDPLANE_BACKPLANE_URL is not set");
}

/// The plane was closed with so many events that did not go to other nodes.
pub(crate) fn closed(unsent: usize) {
    if unsent > 0 {
        tracing::warn!(unsent, "backplane closed with events unsent");
    }
}

/// The last handle was dropped, and nobody waits for so many events.
pub(crate) fn dropped(queued: usize) {
    if queued > 0 {
        tracing::warn!(queued, "backplane dropped without close");
    }
}
