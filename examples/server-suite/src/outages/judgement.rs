//! What the clients' histories say of the time of one fault.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::history::{ClientHistory, EventKey, Remark};
use super::publisher::Publication;

/// By how much the times of a `missed` may be off: both clocks are of this machine, and a message takes its time.
const SLACK: Duration = Duration::from_secs(1);

/// What is promised of the time of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// Every client gets everything, and none is told that it missed anything.
    Whole,
    /// A client that missed something is told, and no other is.
    Told,
    /// [`Told`](Self::Told), and something must have been missed, or the fault was none.
    MissedAndTold,
}

/// The time of one fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct FaultSpan {
    pub(super) began: Instant,
    pub(super) healed: Instant,
    /// The place of a server that was killed.
    pub(super) killed: Option<usize>,
    /// Whether servers did not hear each other for longer than an event lives: then nobody knows what another published.
    pub(super) beyond_window: bool,
}

/// Counts of one fault, or of several.
#[derive(Debug, Clone, Default)]
pub(super) struct Judgement {
    pub(super) times: u64,
    /// Events that servers accepted for all, refused, and did not answer though none was killed.
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) unanswered: u64,
    /// Deliveries that were owed, and of these those that did not come.
    pub(super) owed: u64,
    pub(super) lost: u64,
    /// Deliveries that did not come and that no `missed` covers.
    pub(super) untold: u64,
    /// Clients that lost something, and clients that were told so.
    pub(super) losers: u64,
    pub(super) told: u64,
    /// How often a client was told.
    pub(super) reports: u64,
    /// Times that a client was told though it had lost nothing since it was told last.
    pub(super) groundless: u64,
    pub(super) twice: u64,
    pub(super) disordered: u64,
    pub(super) foreign: u64,
    /// Events that mailboxes dropped.
    pub(super) overran: u64,
    /// Clients whose connection ended though their server lived.
    pub(super) cut: u64,
    /// How long after the fault the last event came that was published before its end.
    pub(super) whole: Duration,
    /// How long after the fault all servers were ready, unless they were not within the time for it.
    pub(super) ready: Option<Duration>,
}

impl Judgement {
    /// Judges one fault by the histories of all clients and what was published from its beginning on.
    pub(super) fn of(
        span: FaultSpan,
        publications: &[Publication],
        clients: &[impl AsRef<ClientHistory>],
        topics: &[String],
    ) -> Self {
        let count = |accepted| {
            let all = publications.iter().map(|publication| publication.accepted);
            all.filter(|is| *is == accepted).count() as u64
        };
        let unanswered = match span.killed {
            // Who was killed answers no more.
            Some(_) => 0,
            None => count(None),
        };
        let mut judgement = Self {
            times: 1,
            accepted: count(Some(true)),
            refused: count(Some(false)),
            unanswered,
            ..Self::default()
        };
        for client in clients {
            let client = client.as_ref();
            // A client whose server is dead is told nothing.
            if span.killed != Some(client.server) {
                judgement.add_client(span, publications, client, topics);
            }
        }
        judgement
    }

    fn add_client(
        &mut self,
        span: FaultSpan,
        publications: &[Publication],
        client: &ClientHistory,
        topics: &[String],
    ) {
        let mut missing = Vec::new();
        for publication in owed(publications, client) {
            self.owed += 1;
            match client.came(publication.key) {
                Some(came) if publication.called < span.healed => {
                    self.whole = self.whole.max(came.saturating_duration_since(span.healed));
                }
                Some(_) => {}
                None => missing.push(*publication),
            }
        }
        let mut told = Vec::new();
        for (at, remark) in client.remarks(span.began) {
            match remark {
                Remark::Twice(_) => self.twice += 1,
                Remark::OutOfOrder(_) => self.disordered += 1,
                Remark::Foreign(_) => self.foreign += 1,
                Remark::Missed(missed) => told.push((at, missed)),
                Remark::Overran(count) => self.overran += count,
                Remark::Ended => self.cut += 1,
                Remark::Said(_) => {}
            }
        }
        self.lost += missing.len() as u64;
        self.losers += u64::from(!missing.is_empty());
        self.told += u64::from(!told.is_empty());
        self.reports += told.len() as u64;
        let covers = |(at, missed): &(Instant, Value), publication: &Publication| {
            // Who is told asks for everything anew, and with that gets what was published before.
            publication.called <= *at && names(missed, &topics[publication.key.topic])
        };
        let untold = missing
            .iter()
            .filter(|missing| !told.iter().any(|told| covers(told, missing)));
        self.untold += untold.count() as u64;
        // Where a server died without a word, nobody knows what it said last.
        if span.killed.is_none() {
            let groundless = told.iter().filter(|told| {
                let mut missing = missing.iter();
                let grounds = missing.any(|missing| covers(told, missing) && within(told, missing));
                !(grounds || span.beyond_window && is_of_anything(&told.1))
            });
            self.groundless += groundless.count() as u64;
        }
    }

    /// What is wrong, in words; nothing if the promise holds.
    pub(super) fn faults(&self, promise: Promise) -> Vec<String> {
        let counts = [
            (self.twice, "twice"),
            (self.disordered, "out of order"),
            (self.foreign, "foreign"),
            (self.overran, "dropped by mailboxes"),
            (self.cut, "clients cut off"),
            (self.refused, "refused"),
            (self.unanswered, "not answered"),
            (self.untold, "lost in silence"),
            (self.groundless, "told for nothing"),
        ];
        let mut faults: Vec<_> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if promise == Promise::Whole && self.lost > 0 {
            faults.insert(0, format!("{} lost", self.lost));
        }
        if promise == Promise::MissedAndTold && self.lost == 0 {
            faults.push("nothing was missed".to_owned());
        }
        if self.ready.is_none() {
            faults.push("not ready".to_owned());
        }
        if self.accepted == 0 {
            faults.push("nothing was accepted".to_owned());
        }
        faults
    }
}

impl AddAssign for Judgement {
    fn add_assign(&mut self, other: Self) {
        self.times += other.times;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.owed += other.owed;
        self.lost += other.lost;
        self.untold += other.untold;
        self.losers += other.losers;
        self.told += other.told;
        self.reports += other.reports;
        self.groundless += other.groundless;
        self.twice += other.twice;
        self.disordered += other.disordered;
        self.foreign += other.foreign;
        self.overran += other.overran;
        self.cut += other.cut;
        self.whole = self.whole.max(other.whole);
        let both = self.ready.zip(other.ready);
        self.ready = both.map(|(one, other)| one.max(other));
    }
}

/// The accepted events of a client's topics, from when it had joined them.
pub(super) fn owed<'a>(
    publications: &'a [Publication],
    client: &'a ClientHistory,
) -> impl Iterator<Item = &'a Publication> {
    publications.iter().filter(|publication| {
        publication.accepted == Some(true)
            && client.topics.contains(&publication.key.topic)
            && publication.called >= client.joined
    })
}

/// Whether a `missed` is about a topic: one without targets is about all.
fn names(missed: &Value, topic: &str) -> bool {
    match missed["targets"].as_array() {
        Some(targets) => targets.contains(&format!("topic:{topic}").into()),
        None => true,
    }
}

/// Whether a `missed` says that anything may be missing.
fn is_of_anything(missed: &Value) -> bool {
    missed["exact"] == false && missed["targets"].is_null()
}

/// Whether an event was published in the time that a `missed` tells of.
fn within((at, missed): &(Instant, Value), publication: &Publication) -> bool {
    let ago = |name: &str| missed[name].as_u64().map(Duration::from_millis);
    let since = ago("since_ms_ago").and_then(|ago| at.checked_sub(ago + SLACK));
    let until = ago("until_ms_ago").and_then(|ago| at.checked_sub(ago));
    since.is_none_or(|since| publication.called >= since)
        && until.is_none_or(|until| publication.called <= until + SLACK)
}

/// An event as it is shown.
pub(super) fn show(key: EventKey) -> String {
    format!("{}/{}/{}", key.publisher, key.topic, key.number)
}

#[cfg(test)]
mod tests;
