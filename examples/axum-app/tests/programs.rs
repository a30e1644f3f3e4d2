//! The other programs, each as processes: a chat over two replicas, tokens for a slow reader, the progress of a job.

mod common;

use std::collections::BTreeSet;

use common::{Program, RESTART, Socket, block, close_code, data, text};
use futures::SinkExt;
use midplane_testkit::server::Server;
use serde_json::{Value, json};
use tokio_websockets::Message;

async fn ask(socket: &mut Socket, request: Value) {
    let message = Message::text(request.to_string());
    socket.send(message).await.unwrap();
}

/// The next that is said by this one; what others say before is passed over.
async fn said_by(socket: &mut Socket, name: &str) -> Value {
    loop {
        let said: Value = serde_json::from_str(&text(socket).await).unwrap();
        if said["name"] == name {
            return said;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_are_one_chat() {
    let redis = Server::redis();
    let start = || Program::start(env!("CARGO_BIN_EXE_chat"), Some(&redis.url()));
    let (one, two) = (start(), start());
    assert!(one.succeeds("GET /", "").await.contains("<title>chat"));
    let (mut ada, mut bob) = (
        one.socket("/ws?name=ada").await,
        two.socket("/ws?name=bob").await,
    );
    for (socket, name) in [(&mut ada, "ada"), (&mut bob, "bob")] {
        ask(socket, json!({"ask": "join", "room": "lobby"})).await;
        // A socket's requests are carried out in order: its own word comes back once it is in the room.
        ask(socket, json!({"ask": "say", "room": "lobby", "text": "hi"})).await;
        assert_eq!(said_by(socket, name).await["text"], "hi");
    }
    assert_eq!(said_by(&mut ada, "bob").await["room"], "lobby");
    // Who is not in a room has no say there.
    let mut eve = two.socket("/ws?name=eve").await;
    ask(
        &mut eve,
        json!({"ask": "say", "room": "lobby", "text": "x"}),
    )
    .await;
    assert_eq!(close_code(&mut eve).await, 1008);
    one.stop();
    two.stop();
    assert_eq!(close_code(&mut ada).await, RESTART);
    assert_eq!(close_code(&mut bob).await, RESTART);
    drop((ada, bob, eve));
    one.stopped().await;
    two.stopped().await;
}

/// More tokens than the system holds of a reader that does not read.
const TOKENS: u64 = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_tokens_is_told_how_many_it_lost_and_one_of_the_text_gets_the_last() {
    let program = Program::start(env!("CARGO_BIN_EXE_tokens"), None);
    let mut tokens = program.events("/tokens/a").await;
    let mut whole = program.events("/text/a").await;
    program.succeeds("POST /ask/a", &TOKENS.to_string()).await;
    let (mut got, mut lost, mut next) = (0, 0, 1);
    loop {
        let (event, data) = block(&mut tokens).await.expect("the stream goes on");
        match (event.as_str(), data.as_str()) {
            ("lost", events) => {
                let events: u64 = events.parse().unwrap();
                lost += events;
                next += events;
            }
            ("", "done") => break,
            // Each token is the one behind those before, counted with those that are said to be lost.
            ("", token) => {
                assert_eq!(token.trim(), next.to_string());
                got += 1;
                next += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got + lost, TOKENS);
    assert!(got > 0 && lost > 0, "the reader was not slow: {got} {lost}");
    let last = TOKENS.to_string();
    loop {
        // Nothing of it is lost: `data` takes plain events alone.
        let text = data(&mut whole).await;
        if text.split_whitespace().next_back() == Some(&last) {
            assert_eq!(text.split_whitespace().count() as u64, TOKENS);
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_watched_from_any_moment_on() {
    let program = Program::start(env!("CARGO_BIN_EXE_jobs"), None);
    let done = |data: String| {
        let progress: Value = serde_json::from_str(&data).unwrap();
        let field = |name: &str| progress[name].as_u64().unwrap();
        (field("done"), field("of"))
    };
    let mut early = program.events("/jobs/report").await;
    // Not started yet.
    assert_eq!(done(data(&mut early).await), (0, 0));
    program.succeeds("POST /jobs/report", "").await;
    let mut seen = BTreeSet::new();
    while seen.last() != Some(&20) {
        let (now, of) = done(data(&mut early).await);
        assert_eq!(of, 20);
        assert!(seen.last() < Some(&now), "{now} after {seen:?}");
        seen.insert(now);
    }
    let mut late = program.events("/jobs/report").await;
    assert_eq!(done(data(&mut late).await), (20, 20));
}
