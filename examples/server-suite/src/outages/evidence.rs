//! What is kept of a course, to find out why a promise was broken.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::cluster::OutageCluster;
use super::judgement::{FaultSpan, owed, show};
use super::publisher::Publication;

/// How many missing events of a client are listed for each fault.
const LISTED: usize = 200;

/// An account of faults, with times as the servers log them.
#[derive(Debug)]
pub(super) struct Evidence {
    now: Instant,
    epoch: SystemTime,
    text: String,
}

impl Evidence {
    /// An empty account; the two clocks show the same moment.
    pub(super) fn new(now: Instant, epoch: SystemTime) -> Self {
        Self {
            now,
            epoch,
            text: String::new(),
        }
    }

    /// Adds one fault.
    pub(super) fn add(
        &mut self,
        what: &str,
        span: FaultSpan,
        publications: &[Publication],
        cluster: &OutageCluster,
    ) {
        let [began, injected, healed] =
            [span.began, span.injected, span.healed].map(|at| self.time(at));
        let mut text = format!("{what}\nbegan {began} injected {injected} healed {healed}\n");
        for (number, client) in cluster.clients.iter().enumerate() {
            let name = format!("client {number} of server {}", client.server);
            let missing = owed(publications, client).filter(|one| client.came(one.key).is_none());
            let missing: Vec<_> = missing.collect();
            if !missing.is_empty() {
                let _ = writeln!(text, "  {name}: {} missing", missing.len());
            }
            for publication in missing.iter().take(LISTED) {
                let (key, at) = (show(publication.key), self.time(publication.called));
                let server = publication.key.publisher / 2;
                let _ = writeln!(text, "    {key} of server {server} published {at}");
            }
            for (at, remark) in client.remarks(span.began) {
                let _ = writeln!(text, "  {name}: {} {remark:?}", self.time(at));
            }
        }
        self.text += &text;
    }

    /// Writes the account, what servers logged and how they are, to files of a directory that begin with this name.
    pub(super) async fn write(&self, directory: &Path, name: &str, cluster: &OutageCluster) {
        let write = |what: &str, text: &str| {
            let path = directory.join(format!("{name}-{what}.txt"));
            fs::write(path, text).expect("the directory is writable");
        };
        write("account", &self.text);
        for (place, server) in cluster.servers.iter().enumerate() {
            write(&format!("server-{place}"), &server.child.log());
            if cluster.killed != Some(place) {
                let health = server.get("/healthz", 200).await.json();
                write(&format!("health-{place}"), &format!("{health:#}"));
            }
        }
    }

    /// The time of the day, UTC.
    fn time(&self, at: Instant) -> String {
        let at = self.epoch + at.saturating_duration_since(self.now);
        let at = at.duration_since(SystemTime::UNIX_EPOCH);
        let at = at.unwrap_or(Duration::ZERO);
        let seconds = at.as_secs() % (24 * 60 * 60);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        let (seconds, micros) = (seconds % 60, at.subsec_micros());
        format!("{hours:02}:{minutes:02}:{seconds:02}.{micros:06}")
    }
}
