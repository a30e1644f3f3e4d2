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
use midplane_core::{Instant, Notice, Reason, Runtime, State};

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
            let reasons = || cluster.status().reasons;
            line.into_iter()
                .for_each(|line| write(line, timer.now(), reasons));
        }
    };
    runtime.spawn(Box::pin(task));
}

fn write(line: Line, now: Instant, reasons: impl FnOnce() -> Vec<Reason>) {
    match line {
        Line::Notice(notice) => log_notice(&notice, now, reasons),
        Line::Connecting => tracing::info!("backplane connecting"),
        Line::LiveAgain { outage, links } => tracing::info!(?outage, links, "backplane live"),
        Line::StillDegraded {
            outage,
            links,
            reason,
        } => {
            tracing::warn!(?outage, links, reason, "backplane degraded");
        }
        Line::Links { links, reason } => tracing::warn!(links, reason, "bus links lost"),
        Line::Dropped(dropped) => tracing::warn!(
            full = dropped.full,
            panicked = dropped.panicked,
            refused = dropped.refused,
            expired = dropped.expired,
            "events dropped"
        ),
    }
}

/// How many reasons a line has.
const REASONS: usize = 32;

/// Writes a notice as a line of the log, for a host that listens to a [`Cluster`] of its own: the phrase of the notice, and its
/// fields. A [`Plane`](crate::Plane) that was connected logs its notices by itself.
///
/// `now` is on the node's clock. `reasons` is asked, for [`Status::reasons`](crate::Status::reasons), where the backplane is
/// degraded.
pub fn log_notice(notice: &Notice, now: Instant, reasons: impl FnOnce() -> Vec<Reason>) {
    match notice {
        Notice::State(State::Live) => tracing::info!("backplane live"),
        Notice::State(State::Degraded) => {
            let reasons = reasons();
            let reasons: Vec<_> = reasons
                .iter()
                .take(REASONS)
                .map(Reason::to_string)
                .collect();
            tracing::warn!(reasons = reasons.join("; "), "backplane degraded");
        }
        Notice::State(State::Stopped) => tracing::error!("backplane stopped"),
        Notice::State(State::Closed) => tracing::info!("backplane closed"),
        Notice::Bus(reason) => tracing::warn!(reason = &**reason, "bus link lost"),
        Notice::Missed(incident) => {
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
        Notice::Joined(node) => tracing::info!(%node, "node joined"),
        Notice::Left(node) => tracing::info!(%node, "node left"),
        Notice::Silent(node) => tracing::warn!(%node, "node silent"),
        Notice::Differs(difference) => tracing::warn!(
            setting = %difference.setting,
            ours = difference.ours,
            theirs = difference.theirs,
            name = difference.name,
            node = %difference.node,
            "settings differ"
        ),
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

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Mutex;

    use midplane_core::DroppedFrames;
    use midplane_core::envelope::NodeId;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of the notice, without its fields' quotes.
    fn logged(notice: &Notice) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .with_level(false)
            .with_target(false)
            .without_time()
            .finish();
        let log = || log_notice(notice, Instant::ZERO, Vec::new);
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.trim().replace('"', "")
    }

    #[test]
    fn a_line_has_the_words_of_its_notice() {
        let node = NodeId([7; 16]);
        let mut dropped = DroppedFrames::default();
        dropped.unsigned = 3;
        for notice in [
            Notice::State(State::Live),
            Notice::State(State::Stopped),
            Notice::State(State::Closed),
            Notice::Joined(node),
            Notice::Left(node),
            Notice::Silent(node),
            Notice::Bus("gone".into()),
            Notice::DroppedFrames(dropped),
            Notice::Lagged(7),
        ] {
            assert_eq!(logged(&notice), notice.to_string());
        }
        let degraded = Notice::State(State::Degraded);
        assert_eq!(logged(&degraded), format!("{degraded} reasons="));
    }
}
