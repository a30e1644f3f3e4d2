//! The workload of the benchmarks and of the instruction counts: ids, targets, an event and a sink.

use std::hint::black_box;

use midplane::{ConnectionId, Event, Target, Verdict};

/// An event of the size of a small chat message.
#[must_use]
pub fn event() -> Event {
    Event::text(r#"{"type":"message","from":"ada","text":"it turns"}"#)
}

/// The id of a numbered connection.
#[must_use]
#[expect(clippy::unwrap_used, reason = "the text is an id")]
pub fn id(number: usize) -> ConnectionId {
    ConnectionId::new(format!("connection-{number:08}")).unwrap()
}

/// The org that every connection of a fan-out is in.
#[must_use]
#[expect(clippy::unwrap_used, reason = "the text is an id")]
pub fn room() -> Target {
    Target::org("everyone").unwrap()
}

/// A numbered topic.
#[must_use]
#[expect(clippy::unwrap_used, reason = "the text is an id")]
pub fn topic(number: usize) -> Target {
    Target::topic(format!("topic-{number:04}")).unwrap()
}

/// The four targets of a numbered connection beside its own: a user and a session that are its own, an org of 1,000
/// connections, and this topic.
#[must_use]
#[expect(clippy::unwrap_used, reason = "the texts are ids")]
pub fn targets(number: usize, topic_number: usize) -> [Target; 4] {
    [
        Target::user(format!("user-{number:08}")).unwrap(),
        Target::session(format!("session-{number:08}")).unwrap(),
        Target::org(format!("org-{:04}", number / 1_000)).unwrap(),
        topic(topic_number),
    ]
}

/// A sink that reads what it captured, as every useful sink must, and does nothing else.
#[inline]
pub fn idle_sink(number: usize) -> impl Fn(&Event) -> Verdict + Send + Sync + 'static {
    move |_| {
        black_box(number);
        Verdict::Accepted
    }
}
