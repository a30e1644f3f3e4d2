//! Whom the benchmarks publish to.

use std::hint::black_box;

use midplane::{ConnectionId, Event, Target, Verdict};

/// The members of the large cases.
pub const MEMBERS: usize = 100_000;

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

/// What a numbered connection joins beside its own target: a user and a session that are its own, an
/// org of 1,000 and a topic of 100.
#[must_use]
pub fn targets(number: usize) -> [Target; 4] {
    targets_among(number, MEMBERS)
}

/// The same among so many connections.
#[must_use]
#[expect(clippy::unwrap_used, reason = "the texts are ids")]
pub fn targets_among(number: usize, count: usize) -> [Target; 4] {
    [
        Target::user(format!("user-{number:08}")).unwrap(),
        Target::session(format!("session-{number:08}")).unwrap(),
        Target::org(format!("org-{:04}", number / 1_000)).unwrap(),
        Target::topic(format!("topic-{:06}", number % (count / 100))).unwrap(),
    ]
}

/// A sink that does nothing but read what it captured, as every useful one must.
pub fn count_only(number: usize) -> impl Fn(&Event) -> Verdict + Send + Sync + 'static {
    move |_| {
        black_box(number);
        Verdict::Accepted
    }
}

/// The numbers below `count` in an order that is the same in every run and that no cache foresees.
#[must_use]
pub fn shuffled(count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for last in (1..count).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        numbers.swap(last, (state % (last as u64 + 1)) as usize);
    }
    numbers
}
