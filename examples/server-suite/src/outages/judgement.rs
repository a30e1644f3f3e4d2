//! What the clients' histories say of the time of one fault.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::SERVERS;
use super::history::{ClientHistory, EventKey, Remark};
use super::publisher::Publication;

/// By how much the times of a `missed` may be off: both clocks are of this machine, and a message takes its time.
const SLACK: Duration = Duration::from_secs(1);

/// How long after an outage a server may take until it is subscribed again: it pauses up to 4 s between attempts to connect.
const CONNECTS: Duration = Duration::from_secs(8);

/// How often one client may be told of anything though it missed nothing: of all servers together, and of each of the
/// others.
const EXCUSED: u64 = SERVERS as u64;

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
    /// When the fault was injected.
    pub(super) injected: Instant,
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
    /// How often a client was told, and how often one client was in one fault at most.
    pub(super) reports: u64,
    pub(super) most_reports: u64,
    /// Times that a client was told though it had lost nothing since it was told last.
    pub(super) groundless: u64,
    /// Times of that kind which are excused: after an outage beyond the window nobody knows what another published, nor
    /// what a server said last that was killed, so a client may be told of anything, at most [`EXCUSED`] times and of the
    /// time of the outage alone.
    pub(super) excused: u64,
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
        self.most_reports = self.most_reports.max(told.len() as u64);
        let covers = |(at, missed): &(Instant, Value), publication: &Publication| {
            // Who is told asks for everything anew, and with that gets what was published before.
            publication.called <= *at && names(missed, &topics[publication.key.topic])
        };
        let untold = missing
            .iter()
            .filter(|missing| !told.iter().any(|told| covers(told, missing)));
        self.untold += untold.count() as u64;
        // What a server that was killed had not answered yet may have been on its way.
        let unanswered = of_topics(publications, client)
            .filter(|one| one.accepted.is_none() && client.came(one.key).is_none());
        missing.extend(unanswered);
        let groundless = told.iter().filter(|told| {
            let mut missing = missing.iter();
            !missing.any(|missing| covers(told, missing) && within(told, missing))
        });
        let (excusable, groundless): (Vec<_>, Vec<_>) =
            groundless.partition(|told| span.excuses(told));
        let excused = (excusable.len() as u64).min(EXCUSED);
        self.excused += excused;
        self.groundless += (groundless.len() + excusable.len()) as u64 - excused;
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
        self.most_reports = self.most_reports.max(other.most_reports);
        self.groundless += other.groundless;
        self.excused += other.excused;
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
    of_topics(publications, client).filter(|publication| publication.accepted == Some(true))
}

/// The events of a client's topics, from when it had joined them.
fn of_topics<'a>(
    publications: &'a [Publication],
    client: &'a ClientHistory,
) -> impl Iterator<Item = &'a Publication> {
    publications.iter().filter(|publication| {
        client.topics.contains(&publication.key.topic) && publication.called >= client.joined
    })
}

/// Whether a `missed` is about a topic: one without targets is about all.
fn names(missed: &Value, topic: &str) -> bool {
    match missed["targets"].as_array() {
        Some(targets) => targets.contains(&format!("topic:{topic}").into()),
        None => true,
    }
}

impl FaultSpan {
    /// Whether a client may be told this though it missed nothing: that anything may be missing of what was published
    /// while servers did not hear each other, or by one that died without a word.
    fn excuses(&self, told: &(Instant, Value)) -> bool {
        let missed = &told.1;
        let anything = missed["exact"] == false && missed["targets"].is_null();
        let (since, until) = times(told);
        // The servers heard each other last a heartbeat before the fault, count what was sent in a heartbeat before that, which
        // may have been under way, and are connected again soon after it. Both are half a second here, and a process may
        // not have run for a moment.
        let within = since.is_some_and(|since| since + SLACK * 3 >= self.injected)
            && until.is_some_and(|until| until <= self.healed + CONNECTS);
        (self.beyond_window || self.killed.is_some()) && anything && within
    }
}

/// Between which moments that what a `missed` tells of was published.
fn times((at, missed): &(Instant, Value)) -> (Option<Instant>, Option<Instant>) {
    let ago = |name: &str| {
        let ago = Duration::from_millis(missed[name].as_u64()?);
        at.checked_sub(ago)
    };
    (ago("since_ms_ago"), ago("until_ms_ago"))
}

/// Whether an event was published in the time that a `missed` tells of.
fn within(told: &(Instant, Value), publication: &Publication) -> bool {
    let (since, until) = times(told);
    since.is_none_or(|since| publication.called + SLACK >= since)
        && until.is_none_or(|until| publication.called <= until + SLACK)
}

/// An event as it is shown.
pub(super) fn show(key: EventKey) -> String {
    format!("{}/{}/{}", key.publisher, key.topic, key.number)
}

#[cfg(test)]
mod tests;
