//! Many events at once from one client, which never outruns the answers it gets.

use serde_json::json;

use crate::client::{Arrival, Client};
use serde_json::Value;

/// How many requests a publisher has under way. Well below what a server queues for a connection.
pub(crate) const WINDOW: u64 = 32;

/// The event of number `n`, at least `size` bytes long.
pub(crate) fn numbered(n: u64, size: usize) -> Value {
    json!({ "n": n, "pad": "x".repeat(size) })
}

/// The number of an event.
pub(crate) fn number(event: &str) -> u64 {
    let event: Value = serde_json::from_str(event).expect("the event is JSON");
    event["n"].as_u64().expect("the event has a number")
}

/// Publishes the events of these numbers through `publisher`, which must be in the target and must
/// itself be excluded; every one must be accepted by so many connections.
pub(crate) async fn publish(
    publisher: &mut Client,
    target: &Value,
    numbers: std::ops::Range<u64>,
    size: usize,
    accepted: Option<u64>,
) {
    let (mut sent, mut answered) = (numbers.start, numbers.start);
    while answered < numbers.end {
        if sent < numbers.end && sent - answered < WINDOW {
            let request = json!({
                "request": "publish", "target": target, "event": numbered(sent, size),
                "exclude_self": true, "id": sent
            });
            publisher.send(request.to_string()).await;
            sent += 1;
            continue;
        }
        match publisher.next().await {
            Arrival::Own(own) => {
                assert_eq!(own["midplane"], "published", "{own}");
                assert_eq!(
                    own["id"], answered,
                    "answers come in the order of the requests"
                );
                if let Some(accepted) = accepted {
                    assert_eq!(own["accepted"], accepted, "event {answered}");
                }
                answered += 1;
            }
            other => panic!("an answer comes next, and not {other:?}"),
        }
    }
}
