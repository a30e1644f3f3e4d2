//! Two processes over a real Redis that restarts: a WebSocket client of one and an SSE client of the other get every event
//! once and in order, are told of no loss, and are told why the end comes.

mod common;

use common::{Program, RESTART, block, close_code, data, text};
use futures::SinkExt;
use midplane_testkit::server::Server;
use midplane_testkit::until;
use tokio_websockets::Message;

const PROGRAM: &str = env!("CARGO_BIN_EXE_axum-app");
const PUBLISH: &str = "POST /publish/news";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_lose_nothing_while_the_broker_restarts() {
    let redis = Server::redis_with(&[]);
    let start = || Program::start(PROGRAM, Some(&redis.url()));
    let (one, two) = (start(), start());
    let (mut socket, mut events) = (one.socket("/ws/news").await, two.events("/sse/news").await);
    // What one publishes the other's client gets: both are joined.
    one.succeeds(PUBLISH, "first").await;
    assert_eq!(text(&mut socket).await, "first");
    assert_eq!(data(&mut events).await, "first");
    // A client's own word goes to the others, and not to itself.
    socket.send(Message::text("said")).await.unwrap();
    assert_eq!(data(&mut events).await, "said");

    publish(&one, &two, 0).await;
    redis.kill();
    until_ready(&one, false).await;
    until_ready(&two, false).await;
    publish(&one, &two, 1).await;
    redis.restart();
    until_ready(&one, true).await;
    until_ready(&two, true).await;
    publish(&one, &two, 2).await;
    let expected = |name: &str| {
        let numbers = (0..30).map(|number| format!("{name} {number}"));
        numbers.collect::<Vec<_>>()
    };
    let mut heard = [Vec::new(), Vec::new()];
    for _ in 0..60 {
        heard[0].push(text(&mut socket).await);
        heard[1].push(data(&mut events).await);
    }
    for texts in &heard {
        for name in ["one", "two"] {
            let of = texts.iter().filter(|text| text.starts_with(name));
            assert_eq!(of.cloned().collect::<Vec<_>>(), expected(name));
        }
    }

    one.stop();
    two.stop();
    assert_eq!(close_code(&mut socket).await, RESTART);
    let (last, _) = block(&mut events).await.expect("a last word");
    assert_eq!(last, "retry");
    assert_eq!(block(&mut events).await, None);
    drop((socket, events));
    one.stopped().await;
    two.stopped().await;
}

/// Ten events on each replica.
async fn publish(one: &Program, two: &Program, ten: u32) {
    for number in 10 * ten..10 * (ten + 1) {
        one.succeeds(PUBLISH, &format!("one {number}")).await;
        two.succeeds(PUBLISH, &format!("two {number}")).await;
    }
}

async fn until_ready(replica: &Program, ready: bool) {
    let ask = async || ((replica.ask("GET /readyz", "").await.0 == "200") == ready).then_some(());
    until(format!("ready: {ready}"), ask).await;
}
