//! Many numbered events from one client, which never outruns the answers it gets.

use std::ops::Range;

use serde_json::{Value, json};

use crate::client::{Arrival, Client};

/// How many requests a publisher has under way. Well below what a server queues for a connection.
pub(crate) const WINDOW: u64 = 32;

/// The event of number `n`, at least `size` bytes long.
pub(crate) fn numbered(n: u64, size: usize) -> Value {
    json!({ "n": n, "pad": "x".repeat(size) })
}

/// The number of an event, if it has one.
pub(crate) fn number(event: &str) -> Option<u64> {
    serde_json::from_str::<Value>(event).ok()?["n"].as_u64()
}

/// A request to publish the event of a number, with that number as its id and without its publisher.
pub(crate) fn request(target: &Value, n: u64, size: usize) -> String {
    let event = numbered(n, size);
    json!({
        "request": "publish", "target": target, "event": event, "exclude_self": true, "id": n
    })
    .to_string()
}

/// Takes events with consecutive numbers from `next` on, until anything else arrives, which is returned.
pub(crate) async fn take(client: &mut Client, next: &mut u64) -> Arrival {
    loop {
        let arrival = client.next().await;
        let number = match &arrival {
            Arrival::Event(event) => number(event),
            _ => None,
        };
        let Some(number) = number else {
            return arrival;
        };
        assert_eq!(number, *next, "a gap without a word, or an event twice");
        *next += 1;
    }
}

/// Takes events with consecutive numbers from `next` on, until the server says that some were lost.
pub(crate) async fn take_until_lost(client: &mut Client, next: &mut u64) {
    match take(client, next).await {
        Arrival::Own(lost) => assert_eq!(lost["midplane"], "lost", "{lost}"),
        end => panic!("{end:?} without a word, after {next} events"),
    }
}

/// Publishes the events of these numbers through `publisher`, which must be in the target and must
/// itself be excluded; each must be accepted by `accepted` connections, if that is given.
pub(crate) async fn publish(
    publisher: &mut Client,
    target: &Value,
    numbers: Range<u64>,
    size: usize,
    accepted: Option<u64>,
) {
    let (mut sent, mut answered) = (numbers.start, numbers.start);
    while answered < numbers.end {
        if sent < numbers.end && sent - answered < WINDOW {
            publisher.send(request(target, sent, size)).await;
            sent += 1;
            continue;
        }
        match publisher.next().await {
            Arrival::Own(own) => {
                assert_eq!(own["midplane"], "published", "{own}");
                assert_eq!(own["id"], answered, "answers in the order of requests");
                if let Some(accepted) = accepted {
                    assert_eq!(own["accepted"], accepted, "event {answered}");
                }
                answered += 1;
            }
            other => panic!("an answer comes next, and not {other:?}"),
        }
    }
}
